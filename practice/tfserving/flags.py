"""tensorflow_model_server's flags: names, defaults and how they are written."""

import argparse
import os

from practice.host import flags as shared

FAILED = 255  # the product's exit status when it cannot start
_CPUS = os.cpu_count() or 1

_FLAGS: dict[str, tuple[object, str]] = {
    "grpc_socket_path": ("", "a UNIX socket for gRPC, beside the port"),
    "rest_api_timeout_in_ms": (30_000, "time that a REST request may run"),
    "rest_api_num_threads": (4 * _CPUS, "REST requests under way at once"),
    "rest_api_enable_cors_support": (False, "let pages of other origins call"),
    "grpc_max_threads": (4 * _CPUS, "gRPC requests under way at once"),
    "grpc_channel_arguments": ("", "key=value,key=value for gRPC's server"),
    "enable_grpc_healthcheck_service": (False, "serve grpc.health.v1 too"),
    "ssl_config_file": ("", "SSLConfig in text form: gRPC with TLS"),
    "monitoring_config_file": ("", "MonitoringConfig in text form"),
    "model_name": ("default", "name of the one model"),
    "model_base_path": ("", "its folder, holding a folder for each version"),
    "model_config_file": ("", "ModelServerConfig in text form, for more models"),
    "model_config_file_poll_wait_seconds": (0.0, "look at it again (0: never)"),
    "file_system_poll_wait_seconds": (1.0, "look for versions again (0: never)"),
    "max_num_load_retries": (5, "tries more when a load fails"),
    "load_retry_interval_micros": (60_000_000, "time between them"),
    "allow_version_labels_for_unavailable_models": (False, "a new label may name any version"),
    "enable_signature_method_name_check": (False, "Classify wants a classify signature"),
    "prefer_tflite_model": (False, "run model.tflite where there is one"),
    "num_tflite_pools": (_CPUS, "LiteRT interpreters for a model are this many ..."),
    "num_tflite_interpreters_per_pool": (1, "... times this many"),
    "saved_model_tags": ("serve", "which graph of a SavedModel, by its tags"),
    "tensorflow_session_parallelism": (0, "threads, for both that follow"),
    "tensorflow_intra_op_parallelism": (0, "threads within an operation"),
    "tensorflow_inter_op_parallelism": (0, "operations at once"),
    "enable_batching": (False, "run requests together"),
    "batching_parameters_file": ("", "BatchingParameters in text form"),
    "enable_per_model_batching_parameters": (False, "read batching_params.pbtxt of each version"),
    "enable_serialization_as_tensor_content": (False, "answer in tensor_content, not typed fields"),
}
# Accepted, so that a command line made for the product works; each is said once in the log.
WITHOUT_EFFECT: dict[str, object] = {
    "enable_model_warmup": True,
    "enable_profiler": True,
    "flush_filesystem_caches": True,
    "mixed_precision": "",
    "num_load_threads": 0,
    "num_request_iterations_for_warmup": 0,
    "num_unload_threads": 0,
    "per_process_gpu_memory_fraction": 0.0,
    "platform_config_file": "",
    "remove_unused_fields_from_bundle_metagraph": True,
    "skip_initialize_tpu": False,
    "tensorflow_session_config_file": "",
    "thread_pool_factory_config_file": "",
    "use_alts_credentials": False,
    "xla_cpu_compilation_enabled": False,
    "xla_gpu_compilation_enabled": False,
}
_LIBRARY = "a shared library with operations that TensorFlow itself has not"
_KEEP = "a model that fails to load does not keep the others from being served"


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line; an unknown flag is printed and left, a bad value ends the program."""
    parser = _Parser(
        prog="python -m practice.tfserving",
        description="A local TensorFlow Serving: the product's API, flags and error texts.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="tell the versions and end")
    parser.add_argument("--port", type=_port, default=8500, help="gRPC port (0 is off)")
    parser.add_argument("--rest_api_port", type=_port, default=0, help="REST port (0 is off)")
    _add(parser, _FLAGS)
    idle = parser.add_argument_group("without effect here")
    _add(idle, {name: (default, "accepted") for name, default in WITHOUT_EFFECT.items()})
    ours = parser.add_argument_group("not in the product")
    _add(ours, {"keep_serving_on_load_failure": (False, _KEEP), "op_library": ("", _LIBRARY)})
    _add(ours, {"load_at_first_call": (False, "not at the start")})
    shared.add_lifetime(ours)
    shared.add_trouble(ours)
    flags, unknown = parser.parse_known_args(arguments)
    for argument in unknown:  # the product says so and goes on
        print(f"unknown argument: {argument}\n{parser.format_usage()}", flush=True)
    return flags


def _add(group: argparse._ActionsContainer, flags: dict[str, tuple[object, str]]) -> None:
    for name, (default, words) in flags.items():
        if isinstance(default, bool):  # may stand alone
            switch = group.add_argument(f"--{name}", default=default, help=words, type=_switch)
            switch.nargs = "?"
            switch.const = True
            switch.metavar = "BOOL"
        else:
            group.add_argument(f"--{name}", default=default, help=words, type=type(default))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        print(f"{self.format_usage()}\n{message}", flush=True)  # last, where a log is read first
        raise SystemExit(FAILED)


def _switch(text: str) -> bool:
    if text.lower() in ("true", "1"):
        return True
    if text.lower() in ("false", "0"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port < 65536:
        raise argparse.ArgumentTypeError(f"{text} is not a port")
    return port
