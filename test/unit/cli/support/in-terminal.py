"""Runs a command in a terminal, types into it, and says how it left that terminal.

usage: in-terminal.py JSON-OF-[[after, keys], ...] FILE COMMAND...
Its own standard output is what the terminal showed; it exits with the command's code.
"""
import fcntl, json, os, pty, struct, subprocess, sys, termios

typed, report, command = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3:]
main, side = pty.openpty()
fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))


def own_terminal():
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


child = subprocess.Popen(command, stdin=side, stdout=side, stderr=side, preexec_fn=own_terminal)
seen = b""
os.set_blocking(main, False)
while True:
    ended = child.poll() is not None
    try:
        chunk = os.read(main, 65536)
        seen += chunk
        os.write(1, chunk)
    except BlockingIOError:
        if ended:
            break
        import time

        time.sleep(0.01)
    if typed and typed[0][0].encode() in seen:
        after, keys = typed.pop(0)
        seen = seen[seen.index(after.encode()) + len(after) :]
        if keys.startswith("resize "):
            rows, columns = map(int, keys.split()[1:])
            fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        elif keys.startswith("signal "):
            child.send_signal(int(keys.split()[1]))
        else:
            os.write(main, keys.encode())
lflag = termios.tcgetattr(side)[3]
with open(report, "w") as file:
    file.write("cooked" if lflag & termios.ICANON and lflag & termios.ECHO else "raw")
sys.exit(child.returncode if child.returncode >= 0 else 128 - child.returncode)
