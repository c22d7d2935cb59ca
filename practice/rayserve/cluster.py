"""Ray Serve's REST API, as a notebook uses it: what runs, and what is to run from now on."""

import contextlib
import copy
import os
import signal
import time
from typing import Any, NamedTuple

import psutil
import requests
import yaml

from helpers.language import _
from practice import processes, state
from practice.instance import PrivateEndpoint
from practice.rayserve.command import CONFIG
from practice.rayserve.launching import token_file

_PATIENCE = 300.0  # seconds, for a machine that is busy


class Replica(NamedTuple):
    """One process that answers calls.

    Parameters
    ----------
    name : str
        What stands in an answer's trailing metadata, under `replica`.
    pid : int
        Its process.
    node : str
        The node that it runs on.
    state : str
        `STARTING`, `RUNNING` or `STOPPING`.
    """

    name: str
    pid: int
    node: str
    state: str

    def kill(self) -> None:
        """End the process at once, in the middle of whatever it does: kill -9."""
        os.kill(self.pid, getattr(signal, "SIGKILL", signal.SIGTERM))


class Cluster:
    """The Ray Serve behind an endpoint of `practice.private("rayserve")`.

    Parameters
    ----------
    endpoint : PrivateEndpoint
        Of kind `tfserving`: calls need nothing else.
    """

    def __init__(self, endpoint: PrivateEndpoint) -> None:
        own = endpoint._own
        self._url = own.entry["api"]
        token = token_file(own.folder).read_text("utf-8")
        self._headers = {"Authorization": f"Bearer {token}"}
        self._config: dict[str, Any] = yaml.safe_load(CONFIG.read_text("utf-8"))
        self._config["applications"][0]["args"]["models"] = str(own.models.absolute())

    def config(
        self,
        *,
        versions: dict[str, int] | None = None,
        batching: bool | None = None,
        **deployment: Any,
    ) -> dict[str, Any]:
        """Return the configuration that was deployed last, with changes.

        Parameters
        ----------
        versions : dict of str to int, optional
            Which version of a model is served.
        batching : bool, optional
            Whether calls that come together are one to the model.
        **deployment
            Options of the deployment, such as `num_replicas=2`.
        """
        config = copy.deepcopy(self._config)
        (application,) = config["applications"]
        application["args"]["versions"] |= versions or {}
        if batching is not None:
            application["args"]["batching"] = batching
        application["deployments"][0] |= deployment
        return config

    def deploy(self, config: dict[str, Any]) -> None:
        """Send a configuration, as `serve deploy` does, and return while Ray carries it out.

        Raises
        ------
        PracticeError
            When Ray Serve refuses it; the text says why.
        """
        self._ask("PUT", "/api/serve/applications/", config)
        self._config = config

    def wait(self) -> list[Replica]:
        """Wait until all replicas of the last configuration run, and return them.

        Raises
        ------
        PracticeError
            When the deployment failed, or is not complete after five minutes.
        """
        wanted = self._config["applications"][0]["deployments"][0].get("num_replicas", 1)
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            application = self._application()
            if application["status"] == "DEPLOY_FAILED":
                raise state.PracticeError(application["message"])
            replicas = self.replicas()
            running = all(replica.state == "RUNNING" for replica in replicas)
            if application["status"] == "RUNNING" and running and len(replicas) == wanted:
                return replicas
            time.sleep(0.2)
        raise state.PracticeError(
            _(
                "After {seconds:.0f} s the replicas are not {count}, all running: {replicas}.",
                seconds=_PATIENCE,
                count=wanted,
                replicas=replicas,
            )
        )

    def replicas(self) -> list[Replica]:
        """Return the replicas that there are now, oldest first."""
        deployments = self._application()["deployments"]
        return [
            Replica(one["replica_id"], one["pid"], one["node_id"], one["state"])
            for deployment in deployments.values()
            for one in sorted(deployment["replicas"], key=lambda one: one["start_time_s"])
            if one.get("pid") and _runs(one["pid"])  # Ray hears of an end a moment later
        ]

    def add_node(self) -> None:
        """Start one more node of Ray, as a process: `ray start --address`.

        Raises
        ------
        PracticeError
            When it does not come up.
        """
        self._ask("POST", "/practice/nodes")

    def _application(self) -> dict[str, Any]:
        details = self._ask("GET", "/api/serve/applications/").json()
        (application,) = details["applications"].values()
        return application

    def _ask(self, method: str, path: str, body: Any = None) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False  # a proxy does not reach this machine's inside
            answer = session.request(
                method, self._url + path, json=body, headers=self._headers, timeout=_PATIENCE
            )
        if not answer.ok:
            raise state.PracticeError(_("Ray Serve refused it: {text}", text=answer.text))
        return answer


def _runs(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return processes.alive(psutil.Process(pid))
    return False
