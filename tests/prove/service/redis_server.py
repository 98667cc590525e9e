"""A real redis-server that can be killed, silenced and started again at the same port."""

import signal
import subprocess

import harness


class Redis:
    def __init__(self):
        self.port = harness.free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        words = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        harness.until("redis-server listens", lambda: harness.accepts(self.port))

    def stop(self):
        self.process.kill()
        self.process.wait()

    def silence(self):
        self.process.send_signal(signal.SIGSTOP)

    def wake(self):
        self.process.send_signal(signal.SIGCONT)
