"""Many rollouts, several projects side by side; what is done is noted at once, so that a run which was
interrupted goes on where it stopped.
"""

import json
import queue
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import say, scratch  # noqa: E402


class Notes:
    """Results by name, a line each."""

    def __init__(self, name):
        self.folder = scratch(name)
        self.file = self.folder / "results.ndjson"
        self.lock = threading.Lock()
        self.results = {}
        if self.file.exists():
            for line in self.file.read_text().splitlines():
                one = json.loads(line)
                self.results[one["name"]] = one

    def add(self, result):
        with self.lock, self.file.open("a") as file:
            file.write(json.dumps(result) + "\n")
            self.results[result["name"]] = result

    def kept(self, name, make):
        """A value that is made once, whatever is interrupted afterwards."""
        file = self.folder / f"{name}.json"
        if not file.exists():
            file.write_text(json.dumps(make()))
        return json.loads(file.read_text())


def side_by_side(workers, experiments, notes, work):
    """Gives each experiment (a dict with a `name`) that is not noted yet to one of the workers:
    `work(todo)` runs in a thread for each, and yields the result of what it takes from `todo`."""
    left = [one for one in experiments if one["name"] not in notes.results]
    if len(left) < len(experiments):
        say(f"{len(experiments) - len(left)} of {len(experiments)} are noted already")
    todo = queue.SimpleQueue()
    for one in left:
        todo.put(one)
    troubles = []

    def run():
        try:
            for result in work(Todo(todo, troubles)):
                notes.add(result)
        except Exception as trouble:  # noqa: BLE001 - told by the main thread, once all have stopped
            troubles.append(trouble)

    threads = [threading.Thread(target=run) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if troubles:
        raise troubles[0]
    return [notes.results[one["name"]] for one in experiments]


class Todo:
    """What is left, one by one; nothing more once a worker is in trouble."""

    def __init__(self, todo, troubles):
        self.todo, self.troubles = todo, troubles

    def __iter__(self):
        while not self.troubles:
            try:
                yield self.todo.get_nowait()
            except queue.Empty:
                return
