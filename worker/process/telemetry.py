"""The daemon's own log: events with fields, as text or as JSON."""

from __future__ import annotations

import logging
import sys

import structlog

from db.outage import is_outage
from db.texts import first_line
from provisioner.redaction.redaction import CLEAN


def configure_logging(*, log_level: str, as_json: bool) -> None:
    """Write our events and the records of libraries to standard error, in one format.

    Args:
        log_level: the least level of our events, in small letters.
        as_json: whether each is a line of JSON, else text.
    """
    level = logging.getLevelNamesMapping()[log_level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        CleanFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(as_json=as_json),
            ],
        )
    )
    handler.addFilter(shorten_outage)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in ("worker", "provisioner", "db", "quota", "chattool"):
        logging.getLogger(name).setLevel(level)


class CleanFormatter(structlog.stdlib.ProcessorFormatter):
    """Writes records, with their tracebacks, without the secrets of the build that logs them."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        return CLEAN.get()(super().format(record))


def shorten_outage(record: logging.LogRecord) -> bool:
    """Let a library's record about a server that is away be one line, without a traceback.

    SQLAlchemy's pool and kombu log a traceback for each connection that an outage breaks.
    """
    error = record.exc_info[1] if record.exc_info else None
    is_event = isinstance(record.msg, dict)  # of our own, with fields
    if isinstance(error, Exception) and not is_event and _is_away(error):
        reason = f"{type(error).__name__}: {first_line(error)}"
        record.msg, record.args = f"{record.getMessage()} ({reason})", ()
        record.exc_info = record.exc_text = None
    return True


def _is_away(error: Exception) -> bool:
    # Here: most commands have no use for the clients of Redis.
    from worker.broker.errors import BROKER_AWAY  # noqa: PLC0415

    return isinstance(error, BROKER_AWAY) or is_outage(error)


def _renderers(*, as_json: bool) -> list[structlog.typing.Processor]:
    if as_json:
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    # The default would print local variables, which may hold secrets.
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
