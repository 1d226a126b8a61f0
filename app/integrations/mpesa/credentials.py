"""The initiator's password as Safaricom wants it with every request that moves or shows money."""

import base64


def security_credential(password: str, certificate_pem: bytes) -> str:
    """The password, encrypted for the key in Safaricom's certificate, in base64.

    Daraja, Getting started: RSA with PKCS#1 v1.5 padding. The dates of the certificate are not
    looked at: those that Safaricom hands out ended in 2016 and 2018, and nothing is believed on
    the strength of this one; it only carries a key. Raises ValueError for a certificate without an
    RSA key, and for a password that is too long for it.
    """
    # Loaded here: most processes never ask for it, and it is slow to load.
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    try:
        key = x509.load_pem_x509_certificate(certificate_pem).public_key()
    except UnsupportedAlgorithm as error:
        raise ValueError("The certificate holds a key of an unknown kind.") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("The certificate holds no RSA key.")  # noqa: TRY004 - the file is at fault
    return base64.b64encode(key.encrypt(password.encode(), padding.PKCS1v15())).decode()


def certificate_subject(certificate_pem: bytes) -> str:
    """Whom the certificate is for, as ``CN=…,O=…``. Raises ValueError for what is none."""
    from cryptography import x509

    return x509.load_pem_x509_certificate(certificate_pem).subject.rfc4514_string()
