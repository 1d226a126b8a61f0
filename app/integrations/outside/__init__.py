"""Looking at web addresses as a stranger would: names, certificates, answers."""

from app.integrations.outside.certificates import BadCertificate, CertificateFault, read_expiry
from app.integrations.outside.look import Outside, Sight, Trouble, Unreached

__all__ = [
    "BadCertificate",
    "CertificateFault",
    "Outside",
    "Sight",
    "Trouble",
    "Unreached",
    "read_expiry",
]
