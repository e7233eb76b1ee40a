"""Which kind of server answers and which model it is asked for. It never takes a model that was not named or listed."""

from __future__ import annotations

from harness.engines.protocol import LoadSpec
from harness.engines.served.dialect import Dialect, Options
from harness.engines.served.http import ABSENT, Http, Reply, ServerRefusedError, shown
from harness.engines.served.llamacpp_server import LlamaCpp
from harness.engines.served.openai import OpenAIStyle
from harness.engines.served.sglang import SGLang
from harness.engines.served.tgi import TGI
from harness.errors import EngineError

OWNERS = {"llamacpp": "llama.cpp", "vllm": "vllm", "sglang": "sglang"}
"""`owned_by` of /v1/models."""
NAMES_SHOWN = 20


def identify(http: Http, spec: LoadSpec, options: Options) -> Dialect:
    """The dialect of the server at hand, its model found and its abilities probed."""
    models = _models(http)
    name, listed = _chosen(http, models, options.model)
    kind = options.server if options.server != "auto" else _kind(http, models)
    if kind != "openai" and (owner := _owner(models)) not in (None, kind):
        raise EngineError(f"{http.root}: expected {kind}, the server says it is {owner}; set endpoint.server to auto")
    if kind == "llama.cpp":
        return LlamaCpp(http, options, name, listed)
    if kind == "sglang":
        return SGLang(http, options, name, listed)
    if kind == "tgi":
        return TGI(http, options, name, spec)
    return OpenAIStyle(http, options, name, listed, spec, kind)


def _models(http: Http) -> list[Reply]:
    """The list of /v1/models; empty where the server has no such page."""
    try:
        return http.get("/v1/models")["data"].items()
    except ServerRefusedError as error:
        if error.status in ABSENT:
            return []
        raise


def _chosen(http: Http, models: list[Reply], wanted: str | None) -> tuple[str, Reply | None]:
    if wanted is None:
        if not models:
            raise EngineError(f"{http.root}/v1/models: expected a list of models, got none; set endpoint.model")
        return models[0]["id"].text(), models[0]
    if not models:
        return wanted, None
    for each in models:
        aliases = each.get("aliases")
        names = [each["id"].text(), *([] if aliases is None else [alias.text() for alias in aliases.items()])]
        if wanted in names:
            return wanted, each
    names = [shown(each["id"].text()) for each in models]
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    raise EngineError(
        f"{http.root}/v1/models: expected a model {wanted!r}, the server has "
        f"{', '.join(names[:NAMES_SHOWN])}{more}; set endpoint.model to one of them"
    )


def _owner(models: list[Reply]) -> str | None:
    """The kind of server that calls itself the owner of a model."""
    owners = [each.optional_text("owned_by") for each in models]
    return next((OWNERS[owner] for owner in owners if owner in OWNERS), None)


def _kind(http: Http, models: list[Reply]) -> str:
    """From who owns the models, otherwise from a page that only one kind has."""
    if (owner := _owner(models)) is not None:
        return owner
    pages = {
        "llama.cpp": ("/props", "default_generation_settings"),
        "sglang": ("/get_model_info", "is_generation"),
        "tgi": ("/info", "max_total_tokens"),
    }
    for kind, (path, key) in pages.items():
        try:
            page = http.find(path)
        except ServerRefusedError:
            continue
        if page is not None and page.get(key) is not None:
            return kind
    return "openai"
