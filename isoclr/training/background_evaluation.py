"""Evaluation by a thread while the run goes on, and a log that stays in order meanwhile."""

import copy
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from transformers import PreTrainedModel

from isoclr.training.curves import RunLog


def gains_from_a_thread(device: torch.device) -> bool:
    """Return whether evaluation is better done beside training: a CPU has no core to spare."""
    return device.type == "cuda"


class BackgroundEvaluation:
    """Evaluates a copy of the model while the next steps run, one at a time.

    Records of the evaluated step and of those that come meanwhile wait for the scores. Then they
    are written in their order, so the log is that of a run that evaluates between two steps.

    On a GPU the copy is queued behind the step, and the thread works on a stream of its own. What
    goes wrong is raised in the main thread: at the next step, the next evaluation, or the end.
    Leaving the context waits.

    Args:
        evaluate: returns scores of a model; it must share no state with training.
        model: of the run.
        log: takes the records.
        track: takes a record with rates, and `step`; only the main thread calls it, as some
            trackers know that one alone.
        in_thread: False evaluates the model itself, between two steps.

    Attributes:
        log: as given.
    """

    def __init__(
        self,
        evaluate: Callable[[PreTrainedModel], dict[str, float]],
        model: PreTrainedModel,
        log: RunLog,
        track: Callable,
        *,
        in_thread: bool,
    ):
        self._evaluate, self._model, self._track, self.log = evaluate, model, track, log
        self._pool = ThreadPoolExecutor(1, "evaluation", _leave_autocast) if in_thread else None
        on_gpu = in_thread and model.device.type == "cuda"
        self._stream = torch.cuda.Stream(model.device) if on_gpu else None
        self._copy: PreTrainedModel | None = None
        self._scores: Future | None = None  # of the step whose record comes next
        self._running: Future | None = None
        self._needed: Future | None = None  # by the checkpoint that was written last
        self._held: deque[tuple[dict, dict, Future | None]] = deque()
        self._untracked: deque[tuple[dict, dict]] = deque()
        self._writing = threading.Lock()

    def __enter__(self) -> "BackgroundEvaluation":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        try:
            self.wait()
        except Exception as another:
            if error is None:
                raise
            if str(another) != str(error):  # the first one is raised
                print(another, file=sys.stderr)
        finally:
            if self._pool is not None:
                self._pool.shutdown()

    def start(self, model: PreTrainedModel) -> None:
        """Evaluate for the record that is written next.

        Args:
            model: the run's own, or a copy of it, which is left to the thread.

        Raises:
            Exception: what went wrong in the evaluation before.
        """
        self._scores = Future()
        if self._pool is None:
            self._scores.set_result(self._evaluate(model))
            return
        self.wait()
        copied = None
        if model is self._model:
            model = self._copied()
        if self._stream is not None:
            copied = torch.cuda.Event()
            copied.record(torch.cuda.current_stream(self._stream.device))
        self._scores = self._running = self._pool.submit(self._run, model, copied)

    def write(self, record: dict, rates: dict) -> None:
        """Write the record of a step, in its turn, to the log and, with rates, to the tracker.

        Raises:
            InputError: the log cannot be written.
            Exception: what went wrong in an evaluation.
        """
        if self._running is not None and self._running.done():
            self._running.result()
        self._held.append((record, rates, self._scores))
        self._scores = None
        self._write_held()
        self._track_written()

    def wait(self) -> None:
        """Wait for the evaluation that is under way, if any, and write all records.

        Raises:
            InputError: the log cannot be written.
            Exception: what went wrong in the evaluation.
        """
        if self._running is not None:
            self._running.result()
        self._write_held()
        self._track_written()

    def before_checkpoint(self, *, wait: bool) -> Callable[[], None]:
        """Return what finishes the log up to this step; the checkpoint's thread calls it first.

        Waits for the evaluation that the checkpoint before needs: one is written at a time.

        Args:
            wait: for the evaluation that is under way, too.

        Raises:
            InputError: the log cannot be written.
            Exception: what went wrong in an evaluation.
        """
        if wait:
            self.wait()
        elif self._needed is not None:
            self._needed.result()
        self._needed = needed = self._running

        def finish() -> None:
            if needed is not None:
                needed.result()
            self._write_held()
            self.log.sync()

        return finish

    @torch.no_grad()
    def _copied(self) -> PreTrainedModel:
        """Return the copy, which is made once, with the weights and buffers of now."""
        if self._copy is None:
            self._copy = copy.deepcopy(self._model)
        else:
            torch._foreach_copy_(_tensors(self._copy), _tensors(self._model))
        return self._copy

    def _run(self, model: PreTrainedModel, copied: torch.cuda.Event | None) -> dict[str, float]:
        if self._stream is None or copied is None:
            return self._evaluate(model)
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(copied)
            try:
                return self._evaluate(model)
            finally:  # the next copy is made over this one
                self._stream.synchronize()

    def _write_held(self) -> None:
        """Write records to the log, up to one whose scores are not there."""
        with self._writing:
            while self._held:
                record, rates, scores = self._held[0]
                if scores is not None:
                    if not scores.done() or scores.exception() is not None:
                        return
                    record |= scores.result()
                self.log.write(**record)
                self._untracked.append((record, rates))
                self._held.popleft()

    def _track_written(self) -> None:
        while self._untracked:
            record, rates = self._untracked.popleft()
            self._track(record | rates, step=record["step"])


def _tensors(model: PreTrainedModel) -> list[torch.Tensor]:
    return [*model.parameters(), *model.buffers()]


def _leave_autocast() -> None:
    """Keep a thread out of the weights that autocast has cast, which all threads share.

    Leaving the outermost autocast of any thread drops them, one that is disabled too. In the middle
    of a step that changes how the gradients of a weight are summed. So this thread is never outside
    of all, and keeps none, as they would go stale with its copy.
    """
    torch.autocast_increment_nesting()
    torch.set_autocast_cache_enabled(False)
