"""A search by several processes: a chief chooses the values, workers train.

It uses keras-tuner's protocol (gRPC) and environment variables, see
https://keras.io/keras_tuner/guides/distributed_tuning/. Unlike keras-tuner, no process waits
forever for one that has died.
"""

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from concurrent import futures
from dataclasses import dataclass
from typing import Any

import grpc
import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_chief, oracle_client

from ar3d_keras.errors import UserError
from ar3d_keras.progress import Reporter

ATTEMPT = 10  # seconds before a request without response is sent again
PATIENCE = 600  # seconds that a worker waits for its chief


@dataclass(frozen=True)
class Role:
    """The role of this process in a search.

    Attributes:
        name: its id; a worker that is restarted with the same id continues its trial.
        address: the chief's host:port; None: this process searches alone.
    """

    name: str = "tuner0"
    address: str | None = None

    @property
    def chief_address(self) -> str:
        """The address of the chief; only for a search by several processes."""
        assert self.address is not None
        return self.address

    @property
    def is_chief(self) -> bool:
        """Whether this process chooses values for others."""
        return self.address is not None and "chief" in self.name

    @property
    def is_worker(self) -> bool:
        """Whether another process chooses the values."""
        return self.address is not None and "chief" not in self.name


def read_role(environment: Mapping[str, str] = os.environ) -> Role:
    """The role that keras-tuner's environment variables define.

    Raises:
        UserError: only some of the variables are set.
    """
    names = ("KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID")
    given = [environment.get(name) for name in names]
    if not any(given):
        return Role()
    if not all(given):
        raise UserError(
            f"a search by several processes needs {', '.join(names)} (the id is `chief` for one "
            f"of them, another name for each worker): {names[given.index(None)]} is not set"
        )
    host, port, name = map(str, given)
    return Role(name, f"{host}:{port}")


def serve(
    oracle: keras_tuner.Oracle, address: str, watch: Callable[[], None], reporter: Reporter
) -> None:
    """Serves trials to workers until none is left and every worker knows that.

    Args:
        oracle: chooses the values.
        address: host:port to listen at.
        watch: is called several times per second.
        reporter: logs the workers that it waits for.

    Raises:
        UserError: the address is in use.
    """
    # With port reuse, a second chief would silently take half of the workers.
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=1), options=[("grpc.so_reuseport", 0)]
    )
    servicer = oracle_chief.OracleServicer(oracle)
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    try:
        server.add_insecure_port(address)
    except RuntimeError:
        raise UserError(
            f"the chief cannot listen at {address}: set KERASTUNER_ORACLE_IP and "
            "KERASTUNER_ORACLE_PORT to an address of this machine and a port that is free"
        ) from None
    server.start()
    waiting: set[str] = set()
    try:
        while not (servicer.stop_triggered and oracle_chief.exit_chief(oracle)):
            time.sleep(0.5)
            watch()
            if servicer.stop_triggered and (left := dict(oracle.ongoing_trials)) and not waiting:
                waiting = {f"{name} (trial {trial.trial_id})" for name, trial in left.items()}
                reporter.log(f"no more trials to start; waiting for {', '.join(sorted(waiting))}")
    finally:
        server.stop(grace=2).wait()


class Chief:
    """The chief's oracle for a worker: the same methods, called over the network.

    Args:
        oracle: an oracle of the same kind as the chief's.
        address: the chief's host:port.
        is_over: whether the search is over, in case the chief has ended already.
        reporter: logs that the worker waits.
    """

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        address: str,
        is_over: Callable[[], bool],
        reporter: Reporter,
    ) -> None:
        oracle_client.TIMEOUT = ATTEMPT  # the default of an hour makes a late worker hang
        self.client = oracle_client.OracleClient(oracle)
        self.address, self.is_over, self.reporter = address, is_over, reporter

    def wait(self) -> bool:
        """Waits until the chief responds; False if the search is over."""
        return self._request(self.client.get_space) is not None

    def create_trial(self, tuner_id: str) -> Trial:
        """The next trial; its status is STOPPED if the search is over."""
        stopped = Trial(keras_tuner.HyperParameters(), status=TrialStatus.STOPPED)
        return self._request(self.client.create_trial, tuner_id) or stopped

    def update_trial(self, trial_id: str, metrics: dict[str, float]) -> None:
        """Sends the score."""
        self._request(self.client.update_trial, trial_id, metrics)

    def end_trial(self, trial: Trial) -> None:
        """Reports the end of a trial."""
        self._request(self.client.end_trial, trial)

    def _request(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """Returns the response, or None if the search is over. A request may be sent twice."""
        begun = time.monotonic()
        logged = False
        while True:
            with contextlib.suppress(grpc.RpcError):
                return method(*arguments)
            if self.is_over():
                return None
            if time.monotonic() - begun > PATIENCE:
                raise UserError(
                    f"no chief responds at {self.address}: start it with KERASTUNER_TUNER_ID=chief, "
                    "then run the same command again (finished trials are kept)"
                )
            if not logged:
                self.reporter.log(f"waiting for the chief at {self.address}")
                logged = True
            time.sleep(0.5)
