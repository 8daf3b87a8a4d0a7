"""A KServe transformer as the SDK gives it: `python -m benchmarks.stock_transformer PORT PREDICTOR_HOST`.

Its predictor call is KServe's own (httpx). For streams it has what one writes with FastAPI and httpx on
KServe's application: the route `/stream`.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request  # here: FastAPI resolves a route's annotations in the module
from fastapi.responses import StreamingResponse


def main() -> None:
    """Serve until SIGTERM."""
    port, predictor = int(sys.argv[1]), sys.argv[2]
    sys.argv = sys.argv[:1]
    import httpx
    from kserve import Model, ModelServer
    from kserve.model_server import app
    from kserve.predictor_config import PredictorConfig

    client = httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=1000))

    @app.post("/stream", response_model=None)
    async def stream(request: Request) -> Any:
        body = await request.body()

        async def relay() -> AsyncIterator[bytes]:
            async with client.stream("POST", f"http://{predictor}/v1/stream", content=body) as response:
                async for part in response.aiter_bytes():
                    yield part

        return StreamingResponse(relay(), media_type="text/event-stream")

    model = Model("m")
    model.ready = True
    config = PredictorConfig(predictor_host=predictor, predictor_protocol="v1")
    ModelServer(http_port=port, enable_grpc=False, predictor_config=config).start([model])


if __name__ == "__main__":
    main()
