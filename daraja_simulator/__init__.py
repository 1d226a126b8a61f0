"""Safaricom's side of M-Pesa, for developing and testing against without the network.

It imports nothing of the shop. `python -m daraja_simulator --help` tells how to run it;
`SimulatorServer` runs it inside a test.
"""

from daraja_simulator.apis import Api
from daraja_simulator.app import create_simulator
from daraja_simulator.c2b_outcomes import Order
from daraja_simulator.config import (
    C2bVersion,
    Initiator,
    OverLong,
    PhoneShape,
    RateAnswer,
    SimulatorConfig,
)
from daraja_simulator.merchants import DEFAULT_MERCHANTS, SANDBOX_PASSKEY, Merchant
from daraja_simulator.server import SimulatorServer

__all__ = [
    "DEFAULT_MERCHANTS",
    "SANDBOX_PASSKEY",
    "Api",
    "C2bVersion",
    "Initiator",
    "Merchant",
    "Order",
    "OverLong",
    "PhoneShape",
    "RateAnswer",
    "SimulatorConfig",
    "SimulatorServer",
    "create_simulator",
]
