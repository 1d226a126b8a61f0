"""Attack 67, as far as the text of an address and a literal IP address tell it."""

import pytest

from app.utils.web_address import CallRules, WebAddress, is_open_to, read_web_address

STRICT = CallRules()
SIMULATOR = CallRules(allow_http=True)
LAPTOP = CallRules(allow_http=True, allow_private=True)

NOT_AN_ADDRESS = "Write a whole address, like https://erp.example.co.ke/hooks."
NOT_A_HOST = "Name a host that anybody on the internet can reach."
NOT_A_PORT = "Use the port 80, 443, 4443, 8080, 8443 or 9443."
NO_TLS = "The address must begin with https://."


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("https://erp.example.co.ke", "erp.example.co.ke", 443),
        ("https://erp.example.co.ke/", "erp.example.co.ke", 443),
        ("HTTPS://ERP.Example.co.ke/Hooks?key=a%20b&x=1;y", "erp.example.co.ke", 443),
        ("https://erp.example.co.ke?key=1", "erp.example.co.ke", 443),
        ("https://xn--bro-hoa.example:8443/hook", "xn--bro-hoa.example", 8443),
        ("https://1password.example/hook", "1password.example", 443),
        ("https://102.130.1.2/hook", "102.130.1.2", 443),
        ("https://[2c0f:fb50:4000::7]:9443/hook", "2c0f:fb50:4000::7", 9443),
    ],
)
def test_an_address_that_anybody_can_reach_is_read(address, host, port):
    assert read_web_address(address, STRICT) == WebAddress(host, port)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("https://127.0.0.1/", NOT_A_HOST),
        ("https://127.0.0.1:5432/", NOT_A_PORT),
        ("https://169.254.169.254/latest/meta-data", NOT_A_HOST),
        ("https://10.0.0.1/", NOT_A_HOST),
        ("https://100.64.0.1/", NOT_A_HOST),
        ("https://0.0.0.0/", NOT_A_HOST),
        ("https://[::1]/", NOT_A_HOST),
        ("https://[::]/", NOT_A_HOST),
        ("https://[::ffff:127.0.0.1]/", NOT_A_HOST),
        ("https://[::127.0.0.1]/", NOT_A_HOST),
        ("https://[64:ff9b::7f00:1]/", NOT_A_HOST),
        ("https://[2002:7f00:1::]/", NOT_A_HOST),
        ("https://[fd00::1]/", NOT_A_HOST),
        ("https://[fe80::1]/", NOT_A_HOST),
        ("https://0x7f.1/", NOT_A_HOST),
        ("https://0x7f000001/", NOT_A_HOST),
        ("https://2130706433/", NOT_A_HOST),
        ("https://0177.0.0.1/", NOT_A_HOST),
        ("https://127.1/", NOT_A_HOST),
        ("https://1.2.3/", NOT_A_HOST),
        ("https://256.1.1.1/", NOT_A_HOST),
        ("https://localhost/", NOT_A_HOST),
        ("https://localhost./", NOT_A_HOST),
        ("https://shop.localhost/", NOT_A_HOST),
        ("https://LOCALHOST/", NOT_A_HOST),
        ("https://erp.example.co.ke./", NOT_A_HOST),
        ("https://127.0.0.1./", NOT_A_HOST),
        ("https://database/", NOT_A_HOST),
        ("https://-erp.example/", NOT_A_HOST),
        ("https://erp..example/", NOT_A_HOST),
        (f"https://{'a' * 64}.example/", NOT_A_HOST),
        (f"https://{'a.' * 130}example/", NOT_A_HOST),
        ("https://erp.example.co.ke:5432/", NOT_A_PORT),
        ("https://erp.example.co.ke:22/", NOT_A_PORT),
        ("https://erp.example.co.ke:0/", NOT_A_PORT),
        ("https://erp.example.co.ke:99999/", NOT_A_PORT),
        ("http://erp.example.co.ke/", NO_TLS),
        ("file:///etc/passwd", NOT_AN_ADDRESS),
        ("gopher://127.0.0.1:6379/_INFO", NOT_AN_ADDRESS),
        ("ftp://erp.example.co.ke/", NOT_AN_ADDRESS),
        ("//erp.example.co.ke/", NOT_AN_ADDRESS),
        ("erp.example.co.ke", NOT_AN_ADDRESS),
        ("https://", NOT_AN_ADDRESS),
        ("https:///hook", NOT_AN_ADDRESS),
        ("https://amina:secret@erp.example.co.ke/", NOT_AN_ADDRESS),
        ("https://erp.example.co.ke@127.0.0.1/", NOT_AN_ADDRESS),
        ("https://erp.example.co.ke\\@127.0.0.1/", NOT_AN_ADDRESS),
        ("https://erp.example.co.ke#@127.0.0.1/", NOT_AN_ADDRESS),
        ("https://erp.example.co.ke/#part", NOT_AN_ADDRESS),
        ("https://erp.example.co.ke/a b", NOT_AN_ADDRESS),
        ("https://erp.example.co.ke/\r\nHost: x", NOT_AN_ADDRESS),
        ("https://erp.example.co.ke/hook\n", NOT_AN_ADDRESS),
        (" https://erp.example.co.ke/", NOT_AN_ADDRESS),
        ("https://%31%32%37.0.0.1/", NOT_AN_ADDRESS),
        ("https://[fe80::1%25eth0]/", NOT_AN_ADDRESS),
        ("https://[127.0.0.1]/", NOT_AN_ADDRESS),
        ("https://\uff11\uff12\uff17.\uff10.\uff10.\uff11/", NOT_AN_ADDRESS),
        ("https://\u24dbocalhost/", NOT_AN_ADDRESS),
        ("https://erp\u212aexample.co.ke/", NOT_AN_ADDRESS),  # the kelvin sign is a k to some
        ("https://erp.example.co.ke:4\u200b43/", NOT_AN_ADDRESS),
        ("https://erp.example.co.ke/" + "a" * 500, NOT_AN_ADDRESS),
        ("", NOT_AN_ADDRESS),
    ],
)
def test_attack_67_an_address_that_leads_inside_is_refused_by_its_text(address, sentence):
    with pytest.raises(ValueError, match=r".") as caught:
        read_web_address(address, STRICT)
    assert str(caught.value) == sentence


def test_without_money_a_call_may_do_without_tls_and_no_more():
    assert read_web_address("http://erp.example/", SIMULATOR) == WebAddress("erp.example", 80)
    for address in ("http://127.0.0.1/", "http://localhost:8080/", "http://erp.example:5000/"):
        with pytest.raises(ValueError, match=r"Name a host|Use the port"):
            read_web_address(address, SIMULATOR)


def test_a_laptop_may_call_itself_and_its_own_network_and_no_more():
    for address, host, port in (
        ("http://127.0.0.1:5055/hook", "127.0.0.1", 5055),
        ("http://localhost:5055/", "localhost", 5055),
        ("http://receiver:8000/", "receiver", 8000),
        ("http://192.168.1.7/", "192.168.1.7", 80),
        ("https://[::1]:5055/", "::1", 5055),
    ):
        assert read_web_address(address, LAPTOP) == WebAddress(host, port)
    for address in (
        "http://169.254.169.254/",
        "http://0.0.0.0/",
        "http://[fe80::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://2130706433/",
        "http://localhost./",
    ):
        with pytest.raises(ValueError, match=r"Name a host"):
            read_web_address(address, LAPTOP)


OPEN = (
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "102.130.1.2",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "196.201.214.200",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:4860:4860::8888",
    "2003::1",
    "2606:4700::1111",
    "2c0f:fb50:4000::7",
)
CLOSED = (
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",  # compatible
    "::ffff:127.0.0.1",  # mapped
    "::ffff:1.1.1.1",
    "64:ff9b::7f00:1",  # NAT64
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",  # Teredo
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",  # 6to4
    "2002:a9fe:a9fe::",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1111%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "localhost",
    "erp.example.co.ke",
    "0x7f.1",
    "2130706433",
    "127.1",
    "",
)


def test_attack_67_only_what_is_handed_out_to_everybody_is_open():
    for rules in (STRICT, SIMULATOR):
        assert [address for address in OPEN if not is_open_to(address, rules)] == []
        assert [address for address in CLOSED if is_open_to(address, rules)] == []


def test_a_laptop_is_let_to_what_is_private_and_to_nothing_else_that_is_closed():
    opened = {address for address in CLOSED if is_open_to(address, LAPTOP)}
    assert opened == {
        "10.0.0.1",
        "127.0.0.1",
        "127.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "::1",
        "fc00::1",
        "fd12:3456::1",
    }
