# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only place that starts processes: other programs, and work with bounded memory and time.

Argument lists only, never a shell; every process has a time limit and is gone when the call
returns, but for those that ``spawn`` and ``launch`` leave to their caller.  Input is never shown,
since it may be a secret.  Early boot imports this module, so expensive modules are imported where
they are used.
"""

from __future__ import annotations

import fcntl
import os
import select
import sys
import time

from mandos.errors import MachineError
from mandos.lean_stdlib import signal, socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping, Sequence

_PIECE = 1 << 16
#: Their handlers are the parent's, and must not run in a child.
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
#: Python ignores these; a program that expects their default action must find it.
_RESTORED_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)
_FIRST_FREE = 3  # the descriptor after standard input, output and errors
_WARNING_FROM = 0x030C0000  # Python 3.12
#: Characters that need no quoting in a shell, anywhere in a word.
_PLAIN = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-",
)
_SET_DUMPABLE = 4  # linux/prctl.h
_TICK = 1.0  # seconds between two calls of ``waiting``
_FAILED = 1  # the child's exit status when its work raised


class Completed:
    """How a program ended: ``status`` is its exit status, or minus the number of a signal."""

    __slots__ = ("command", "status", "stderr", "stdout")

    def __init__(self, command: Sequence[str], status: int, stdout: bytes, stderr: bytes) -> None:
        self.command = command
        self.status = status
        self.stdout = stdout
        self.stderr = stderr

    def require_success(self) -> bytes:
        """Return standard output, or raise MachineError with the command and its output."""
        if self.status == 0:
            return self.stdout
        said = self.stderr.decode(errors="replace").strip()
        raise MachineError(
            f"command failed with status {self.status}: {_shown(self.command)}", said or None
        )


def run(
    command: Sequence[str],
    *,
    input: bytes = b"",  # noqa: A002 - the word of the subprocess module
    env: Mapping[str, str] | None = None,
    timeout: float,
    patience: float = 0.0,
) -> Completed:
    """Run a program to its end, at most ``timeout`` seconds.

    Raises MachineError when it cannot be started or takes too long.  It is then killed, and so it
    is when any other exception ends the call.  With ``patience`` it has a session of its own, whose
    processes are first asked to end (SIGTERM), and are killed after so many seconds.
    """
    import subprocess  # noqa: PLC0415 - too expensive for early boot, where most runs need no program

    pipe = subprocess.PIPE
    own = patience > 0
    try:
        with subprocess.Popen(
            command, env=env, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=own
        ) as child:
            try:
                stdout, stderr = child.communicate(input, timeout)
            except BaseException:
                if own:
                    _end_session(child, patience)
                else:
                    child.kill()
                raise
    except OSError as error:
        raise MachineError(f"cannot run {_shown(command)}: {error.strerror}") from error
    except subprocess.TimeoutExpired:
        # Without the cause: it holds the program's output so far.
        raise MachineError(f"took longer than {timeout:g} s: {_shown(command)}") from None
    return Completed(command, child.returncode, stdout, stderr)


def spawn(
    command: Sequence[str], env: Mapping[str, str] | None = None, *, output: int | None = None
) -> int:
    """Start a program in a session of its own, without input; returns its process ID.

    It inherits descriptors that are inheritable: see ``keep_descriptors``.  Its output goes to the
    descriptor ``output``, or nowhere.  The caller has to reap it.  Raises MachineError when it
    cannot be started.
    """
    files: list[tuple[int, ...] | tuple[int, int, str, int, int]]
    files = [(os.POSIX_SPAWN_OPEN, standard, os.devnull, os.O_RDWR, 0) for standard in range(3)]
    if output is not None:
        files[1:] = [(os.POSIX_SPAWN_DUP2, output, standard) for standard in (1, 2)]
    try:
        return os.posix_spawn(
            command[0],
            list(command),
            os.environ if env is None else env,
            file_actions=files,
            setsid=True,
            setsigmask=(),
            setsigdef=_RESTORED_SIGNALS,
        )
    except OSError as error:
        raise MachineError(f"cannot run {_shown(command)}: {error.strerror}") from error


def keep_descriptors() -> None:
    """From now on no program inherits a descriptor that is open now, but for the standard ones.

    Python's own are never inherited; those that were open when this program started would be.
    """
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - pathlib is expensive at boot
        if int(name) < _FIRST_FREE:
            continue
        try:
            os.set_inheritable(int(name), False)  # noqa: FBT003 - that is its signature
        except OSError:  # that of the listing itself, which is closed by now
            continue


def launch(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    standard: tuple[int | None, int | None, int | None] = (None, None, None),
    prepare: Callable[[], object] = bool,
) -> int:
    """Start a program whose input, output and errors are these descriptors; returns its process ID.

    ``None`` stands for /dev/null.  ``prepare`` runs in the new process before the program does:
    it may change the user, and any exception in it fails the start.  Nothing else is inherited: no
    descriptor, no signal that is blocked, handled or ignored.  The caller has to reap the process.
    Raises MachineError when it cannot be started.
    """
    reading, writing = os.pipe()
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING_SIGNALS)
    child = -1
    try:
        child = _fork()
        if child == 0:
            _become(command, env, standard, prepare, writing)
    except OSError as error:
        raise MachineError(f"cannot run {_shown(command)}: {error.strerror}") from error
    finally:
        os.close(writing)
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    with os.fdopen(reading, "rb") as told:
        reason = told.read()
    if reason:
        os.waitpid(child, 0)
        raise MachineError(f"cannot run {_shown(command)}: {os.fsdecode(reason)}")
    return child


def launch_work(
    work: Callable[[], int],
    *,
    standard: tuple[int | None, int | None, int | None] = (None, None, None),
) -> int:
    """Start ``work`` in a forked process of its own; returns its process ID.

    Its return value is the process's exit status; for descriptors and signals the same holds as for
    ``launch``.  The caller has to reap the process.  Raises MachineError when it cannot be started.
    """
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING_SIGNALS)
    try:
        child = _fork()
        if child == 0:
            _work(work, standard)
    except OSError as error:
        raise MachineError(f"cannot start a process: {error.strerror}") from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    return child


def run_isolated(
    work: Callable[[], bytes],
    *,
    memory: int,
    size: int,
    timeout: float,
    waiting: Callable[[], object] | None = None,
    patience: float = 0.0,
) -> bytes:
    """Run ``work`` in a forked child, which cannot harm this process, and return its result.

    The child may use ``memory`` more bytes and ``timeout`` seconds, and return ``size`` bytes;
    it must not touch resources that it shares with us, such as sockets.  Its output is dropped.
    ``waiting`` is called here every second meanwhile.  A child that has to be ended before its time
    is killed; with ``patience`` it gets SIGTERM first, and so many seconds.
    Raises MachineError when it fails; the reason stays in the child, since it may quote secrets.
    """
    reading, writing = os.pipe()
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING_SIGNALS)
    child = _fork()
    if child == 0:
        _be_the_child(work, writing, memory)
    os.close(writing)
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
        output = _read(reading, size, time.monotonic() + timeout, waiting)
    except BaseException:  # also when a signal ends us: the child must not outlive the call
        if patience > 0:
            _ask_to_end(child, patience)
        os.kill(child, signal.SIGKILL)  # it is not reaped yet, so the number is its own
        raise
    finally:
        os.close(reading)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != 0:
        raise MachineError(f"a child process failed with status {status}")
    return output


def accompany(
    work: Callable[[socket.socket], object], kind: int, *, errors: int | None
) -> tuple[int, socket.socket]:
    """Fork a process that does ``work`` with its end of a socket pair; returns its ID and our end.

    ``kind`` is the type of the sockets, and ours does not block.  The process has neither our
    standard input nor output, and no descriptor but the socket's and ``errors``, which stands for
    its standard output and errors (None: /dev/null).  Signals that ask to end have their default
    effect.  It leaves when the work returns or raises.  The caller has to reap it.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC)
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING_SIGNALS)
    try:
        child = _fork()
        if child == 0:
            _be_the_helper(work, theirs, errors)
    except OSError as error:
        ours.close()
        raise MachineError(f"cannot start a process: {error.strerror}") from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
        theirs.close()
    ours.setblocking(False)  # noqa: FBT003 - that is its signature
    return child, ours


def forbid_tracing() -> None:
    """Let no other process of this user read our memory: prctl(2), PR_SET_DUMPABLE.

    A process that has given root up is so already; a program that was started as this user is not.
    """
    import ctypes  # noqa: PLC0415 - expensive at boot

    if ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0):
        raise MachineError("the kernel does not protect the memory of this process (prctl)")


def load() -> None:
    """Import the modules that are imported late, for a process that cannot import them later."""
    import resource  # noqa: F401, PLC0415 - as said


def _ask_to_end(child: int, patience: float) -> None:
    """Send SIGTERM to a child, and wait so many seconds for its end; it is not reaped."""
    ended = os.pidfd_open(child)
    try:
        os.kill(child, signal.SIGTERM)
        select.select([ended], [], [], patience)
    finally:
        os.close(ended)


def _end_session(child: subprocess.Popen[bytes], patience: float) -> None:
    """End a child and the others of its session: by SIGTERM, then by SIGKILL.

    They have ended when nothing has the child's output open any more.
    """
    from subprocess import TimeoutExpired  # noqa: PLC0415 - as in run

    group = child.pid
    try:
        os.killpg(group, signal.SIGTERM)
        child.communicate(timeout=patience)
        os.killpg(group, signal.SIGKILL)
    except TimeoutExpired:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return  # all of them are gone


def _shown(command: Sequence[str]) -> str:
    """As a person can paste it; by hand, since shlex would bring re into every image."""
    return " ".join(map(_quoted, command))


def _quoted(word: str) -> str:
    if word and _PLAIN.issuperset(word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"


def _fork() -> int:
    """Fork; later Pythons warn about threads, but the child only computes and leaves by _exit."""
    if sys.hexversion < _WARNING_FROM:
        return os.fork()
    import warnings  # noqa: PLC0415 - expensive, and of use there only

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _be_the_child(work: Callable[[], bytes], writing: int, memory: int) -> None:
    """Never returns.  Catches everything, since nothing of us may run on in a second process."""
    status = _FAILED
    try:
        _arrange((None, None, None))
        _default_signals()
        limit_memory(memory)
        output = memoryview(work())
        while output:
            output = output[os.write(writing, output) :]
        status = 0
    finally:
        os._exit(status)


def _be_the_helper(
    work: Callable[[socket.socket], object], end: socket.socket, errors: int | None
) -> None:
    """Never returns; nothing of us may run on in a second process."""
    status = _FAILED
    try:
        _arrange((None, errors, errors))
        descriptor = end.detach()
        os.dup2(descriptor, _FIRST_FREE, inheritable=False)
        os.closerange(_FIRST_FREE + 1, os.sysconf("SC_OPEN_MAX"))
        _default_signals()
        work(socket.socket(fileno=_FIRST_FREE))
        status = 0
    finally:
        os._exit(status)


def _become(
    command: Sequence[str],
    env: Mapping[str, str] | None,
    standard: tuple[int | None, int | None, int | None],
    prepare: Callable[[], object],
    writing: int,
) -> None:
    """Never returns: becomes the program, or reports the reason of a failure to its parent."""
    telling = writing
    try:
        telling = fcntl.fcntl(writing, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
        _arrange(standard)
        os.dup2(telling, _FIRST_FREE, inheritable=False)
        telling = _FIRST_FREE
        os.closerange(_FIRST_FREE + 1, os.sysconf("SC_OPEN_MAX"))
        _restore_signals()
        prepare()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvpe(command[0], list(command), os.environ if env is None else env)  # noqa: S606
    except BaseException as error:  # noqa: BLE001 - nothing of us may run on in a second process
        reason = error.strerror if isinstance(error, OSError) else repr(error)
        os.write(telling, os.fsencode(reason or repr(error)))
    finally:
        os._exit(127)  # as a shell does


def _work(work: Callable[[], int], standard: tuple[int | None, int | None, int | None]) -> None:
    """Never returns, even if the work raises: our own code must not run on in the child."""
    status = _FAILED
    try:
        _arrange(standard)
        os.closerange(_FIRST_FREE, os.sysconf("SC_OPEN_MAX"))
        _restore_signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        status = work()
    finally:
        os._exit(status)


def _restore_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)


def _arrange(standard: tuple[int | None, int | None, int | None]) -> None:
    """Make these the descriptors 0, 1 and 2; first out of each other's way."""
    null = os.open(os.devnull, os.O_RDWR)
    high = [
        fcntl.fcntl(null if one is None else one, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE + 1)
        for one in standard
    ]
    for number, descriptor in enumerate(high):
        os.dup2(descriptor, number)


def limit_memory(memory: int) -> None:
    """Let this process have ``memory`` bytes more from now on, and leave no core.

    A limit that it has already cannot be raised.
    """
    import resource  # noqa: PLC0415 - only such a process needs it

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = address_space() + memory
    _soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _default_signals() -> None:
    for number in _ENDING_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING_SIGNALS)


def address_space() -> int:
    """Bytes of address space in use, proc_pid_statm(5)."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - pathlib is expensive at boot
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _read(reading: int, size: int, deadline: float, waiting: Callable[[], object] | None) -> bytes:
    poll = select.poll()
    poll.register(reading, select.POLLIN)
    output = bytearray()
    while (left := deadline - time.monotonic()) > 0:
        if not poll.poll((left if waiting is None else min(left, _TICK)) * 1000):
            if waiting is not None:
                waiting()
            continue
        piece = os.read(reading, _PIECE)
        if not piece:
            return bytes(output)
        output += piece
        if len(output) > size:
            raise MachineError(f"a child process returned more than {size} bytes")
    raise MachineError("a child process took too long")
