"""KServe's ModelServer around our front: which address it binds, what lies at `/`, and how it ends.

kserve reads the process's arguments when it is imported and takes abbreviations of its own options, binds all
interfaces, and answers liveness at `/`; here it is imported with no arguments, binds what it is told, and
keeps `/` for the page.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from llm_twin.logs import event

logger = logging.getLogger("llm_twin.serving")

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kserve import Model


@contextmanager
def _no_arguments() -> Iterator[None]:
    kept, sys.argv = sys.argv, sys.argv[:1]
    try:
        yield
    finally:
        sys.argv = kept


def serve(
    models: list[Model],
    wrap: Callable[[Any], Any],
    *,
    host: str,
    port: int,
    predictor_host: str,
    drain_seconds: float,
    on_stop: Callable[[], None],
    on_start: Callable[[Any], None] = lambda repository: None,
) -> None:
    """Serve `models` through KServe's ModelServer, its application wrapped by `wrap`, until SIGTERM.

    `on_start` gets KServe's repository, in which models may come and go. On SIGTERM `on_stop` is called (readiness
    ends), connections are still taken for `drain_seconds`, and then what is in flight is finished.
    """
    with _no_arguments():
        import uvicorn
        from kserve import ModelServer
        from kserve import model_server as kserve_model_server
        from kserve.predictor_config import PredictorConfig
        from kserve.protocol.rest.server import RESTServer

    class DrainingServer(uvicorn.Server):
        """uvicorn, but readiness ends some seconds before new connections are refused."""

        def handle_exit(self, sig: int, frame: Any) -> None:
            if self.should_exit or drain_seconds <= 0:
                on_stop()
                super().handle_exit(sig, frame)
                return
            on_stop()
            asyncio.get_running_loop().call_later(drain_seconds, super().handle_exit, sig, frame)

    class TwinRestServer(RESTServer):
        def __init__(self, app: str, *arguments: Any, **keywords: Any) -> None:
            super().__init__(app, *arguments, **keywords)
            self.config = uvicorn.Config(
                wrap(kserve_model_server.app),
                host=host,
                port=port,
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=60,
                timeout_keep_alive=75,
                loop="uvloop",
                http="httptools",
                lifespan="off",
                server_header=False,
            )
            self._server = DrainingServer(self.config)

    kserve_model_server.RESTServer = TwinRestServer
    server = ModelServer(
        http_port=port,
        enable_grpc=False,
        enable_latency_logging=False,
        predictor_config=PredictorConfig(predictor_host=predictor_host or None, predictor_protocol="v2"),
    )
    on_start(server.registered_models)
    server.start(models)


def make_model(name: str, handle: Callable[..., Any], is_ready: Callable[[], Any]) -> Model:
    """A KServe model whose predict step is `handle(payload, headers)`; its readiness is `is_ready()`."""
    with _no_arguments():
        from kserve import Model

    class TwinModel(Model):
        """One twin in KServe's registry."""

        def __init__(self) -> None:
            super().__init__(name)
            self.ready = True

        async def healthy(self) -> bool:
            return bool(await is_ready())

        def validate(self, payload: Any) -> Any:  # ours was validated before
            return payload

        async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
            event(logger, "kserve predict", model=name, questions=len(payload[1]))
            return await handle(payload, headers)

        def get_input_types(self) -> list[dict[str, Any]]:
            return [{"name": "question", "datatype": "BYTES", "shape": [-1]}]

        def get_output_types(self) -> list[dict[str, Any]]:
            return [{"name": n, "datatype": "BYTES", "shape": [-1]} for n in ("answer", "status", "details")]

    return TwinModel()
