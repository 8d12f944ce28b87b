"""Puts the hook of the fault tests into processes that a test didn't start itself.

Python imports this at its start where the folder is on ``PYTHONPATH``: in the command, and in the workers
that the command starts.
"""

import os

if os.environ.get("TWOPASS_FAULT"):
    import fault_hook

    fault_hook.install_from_environment()
