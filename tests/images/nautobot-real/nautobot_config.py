"""A real Nautobot takes nearly everything from NAUTOBOT_* variables."""

from nautobot.core.settings import *  # noqa: F401,F403
