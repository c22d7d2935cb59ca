"""Which engine runs a version's folder."""

import argparse
import os

from practice.tfserving import batching
from practice.tfserving.engine import Model
from practice.tfserving.failures import invalid
from practice.tfserving.litert import LiteRTModel
from practice.tfserving.savedmodel import SavedModel
from protos import official


class Loader:
    """Loads version folders: with LiteRT where that is preferred, else with TensorFlow.

    Parameters
    ----------
    flags : Namespace
        The command line's.

    Raises
    ------
    Failure
        For a batching file that cannot be used.
    """

    def __init__(self, flags: argparse.Namespace) -> None:
        self._flags = flags
        self._batching: batching.Parameters | None = None
        if flags.batching_parameters_file and not flags.enable_batching:
            raise invalid(
                "server_options.batching_parameters_file is set without setting "
                "server_options.enable_batching to true."
            )
        if flags.batching_parameters_file:
            self._batching = batching.read_parameters(flags.batching_parameters_file)
        elif flags.enable_batching:
            self._batching = batching.Parameters()

    def __call__(self, folder: str) -> Model:
        """Load a folder, or raise Failure with the reason."""
        model = self._load(folder)
        parameters = self._batching
        if parameters and self._flags.enable_per_model_batching_parameters:
            own = os.path.join(folder, "batching_params.pbtxt")
            parameters = batching.read_parameters(own) if os.path.exists(own) else None
        return batching.Batched(model, parameters) if parameters else model

    def _load(self, folder: str) -> Model:
        flags = self._flags
        path = os.path.join(folder, "model.tflite")
        if flags.prefer_tflite_model and os.path.exists(path):
            try:
                count = flags.num_tflite_pools * flags.num_tflite_interpreters_per_pool
                return LiteRTModel(path, count)
            except (ValueError, RuntimeError, OSError) as error:
                raise invalid(f"{path} cannot be loaded: {error}") from error
        if flags.op_library and official.has_tensorflow():
            from practice.tfserving import session  # 3 s: TensorFlow

            session.load_library(flags.op_library)
        both = flags.tensorflow_session_parallelism
        return SavedModel(
            folder,
            flags.saved_model_tags.split(","),
            intra_op=flags.tensorflow_intra_op_parallelism or both,
            inter_op=flags.tensorflow_inter_op_parallelism or both,
        )
