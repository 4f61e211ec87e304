import os, signal, sys, termios, tty
def draw(text):
    os.write(1, ("\x1b[2J\x1b[H" + text + "\r\n").encode())
def size(*_):
    columns, rows = os.get_terminal_size(0)
    draw("size %dx%d" % (columns, rows))
before = termios.tcgetattr(0)
signal.signal(signal.SIGWINCH, size)
os.write(1, b"\x1b[?1049h\x1b[?25l")
tty.setraw(0)
size()
while True:
    key = os.read(0, 1)
    draw("key %r" % key)
    if key == b"q":
        break
termios.tcsetattr(0, termios.TCSADRAIN, before)
os.write(1, b"\x1b[?25h\x1b[?1049l")
