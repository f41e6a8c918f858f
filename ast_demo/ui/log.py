"""The log of a running program: what failed and where in the code, and nothing of what a visitor sent."""

from __future__ import annotations

import logging

log = logging.getLogger("ast_demo")


def log_failure(event: str, error: BaseException) -> None:
    """Tell what failed and where in the code. An error's own text is left out: it may quote what was sent."""
    trace, where = error.__traceback__, "?"
    while trace is not None:
        where = f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"
        trace = trace.tb_next
    log.error("%s failed: %s in %s", event, type(error).__name__, where)


class ContentlessFormatter(logging.Formatter):
    """Log lines of other libraries, without the values in them: those may be what a stranger has sent."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name.startswith("ast_demo"):
            return f"{record.levelname} {record.getMessage()}"
        error = f" ({record.exc_info[0].__name__})" if record.exc_info and record.exc_info[0] else ""
        text = str(record.msg) if record.args else "says something"  # the text that the values would go into
        return f"{record.levelname} {record.name}:{record.lineno} {text}{error}".replace("\n", " ")


def keep_content_out_of_the_log() -> None:
    """Have all libraries log by way of `ContentlessFormatter`, also those that have handlers of their own."""
    handler = logging.StreamHandler()
    handler.setFormatter(ContentlessFormatter())
    handler.setLevel(logging.WARNING)
    root = logging.getLogger()
    root.handlers = [handler]
    logging.captureWarnings(True)
    for name, one in logging.Logger.manager.loggerDict.items():
        if isinstance(one, logging.Logger) and name != "py.warnings" and one.handlers:
            one.handlers, one.propagate = [], True
