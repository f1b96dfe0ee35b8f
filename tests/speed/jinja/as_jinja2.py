"""A plugin of pytest: every environment of Jinja2's own tests compiles as `speed.jinja` does.

Few of those tests escape, so what is not escaped gets the same code here, with `str` in its place.
"""

from typing import Any

import jinja2
import pytest

from speed.jinja import CodeGenerator, Environment

outputs = {"escaped": 0, "other": 0}


class Everywhere(CodeGenerator):
    def _output_child_pre(self, node: Any, frame: Any, finalize: Any) -> None:
        if frame.eval_ctx.volatile or frame.eval_ctx.autoescape:
            super()._output_child_pre(node, frame, finalize)
        else:
            self.write(f"(_out if type(_out := {finalize.src or '('}")

    def _output_child_post(self, node: Any, frame: Any, finalize: Any) -> None:
        if frame.eval_ctx.volatile or frame.eval_ctx.autoescape:
            outputs["escaped"] += not frame.eval_ctx.volatile
            super()._output_child_post(node, frame, finalize)
        else:
            outputs["other"] += 1
            self.write(")) is str else str(_out))")


jinja2.Environment.code_generator_class = Everywhere
jinja2.Environment.escape_text = vars(Environment)["escape_text"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"{outputs['escaped']} escaped, {outputs['other']} other")
