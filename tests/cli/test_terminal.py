"""What a stopped command says: that it continues, where it makes what stays."""

import os
import signal
import time

import pytest

from cli import terminal
from cli.terminal import continues, ended_by_signals, plain_errors

CONTINUES = "and the same command continues from there"


@pytest.mark.parametrize("makes", [True, False])
def test_sigterm_ends_a_command_in_a_line(
    makes: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "_words", ["stopped"])
    with pytest.raises(SystemExit) as ended, plain_errors(), ended_by_signals():
        if makes:
            continues()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    told = capsys.readouterr().err
    assert ended.value.code == 130 and told.startswith("error: stopped") and len(told.splitlines()) == 1
    assert (CONTINUES in told) == makes
