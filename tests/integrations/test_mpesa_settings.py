import pytest
from daraja_fakes import settings


def test_a_path_is_joined_to_the_base_with_one_slash():
    assert settings(base_url="https://a.example/").url("/x") == "https://a.example/x"
    assert settings(base_url="https://a.example").url("/x") == "https://a.example/x"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"base_url": "daraja.example"}, "base_url"),
        ({"base_url": "file:///etc/passwd"}, "base_url"),
        ({"base_url": "https://user:word@a.example"}, "base_url"),
        ({"base_url": "https://a.example?x=1"}, "base_url"),
        ({"shortcode": "1234"}, "shortcode"),
        ({"shortcode": "12345678"}, "shortcode"),
        ({"shortcode": "012345"}, "shortcode"),
        ({"till": "abcdef"}, "till"),
        ({"till": ""}, "till"),
        ({"consumer_key": ""}, "consumer_key"),
        ({"consumer_secret": ""}, "consumer_secret"),
        ({"passkey": ""}, "passkey"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(changes, named):
    with pytest.raises(ValueError, match=named):
        settings(**changes)


def test_settings_show_no_secret():
    shown = repr(settings())
    assert "shortcode='174379'" in shown
    assert "of-ours" not in shown
