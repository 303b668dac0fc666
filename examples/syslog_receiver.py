"""A syslog receiver in one page: prints each message with its severity and its sender (RFC 3164, RFC 5424; RFC 5426).

Try it: `python examples/syslog_receiver.py udp://127.0.0.1:5514`, and `logger -d -n 127.0.0.1 -P 5514 hello`.
"""

import sys

from socketkit import open_datagrams

SEVERITIES = ("emergency", "alert", "critical", "error", "warning", "notice", "information", "debug")


def severity_and_text(data: bytes) -> tuple[str, str]:
    """The severity, out of `<PRI>`, and the rest of the message; without a PRI it is a notice (RFC 3164, 4.3.3)."""
    text = data.decode(errors="backslashreplace").rstrip("\n\0")
    priority, mark, _ = text[1:5].partition(">")
    if not (text.startswith("<") and mark and priority.isascii() and priority.isdigit() and int(priority) < 192):
        return "notice", text
    return SEVERITIES[int(priority) % 8], text[len(priority) + 2 :]


def main(address: str) -> None:
    with open_datagrams(address) as datagrams:
        print(f"receiving at {datagrams.local}", file=sys.stderr, flush=True)
        for data, sender in datagrams:
            severity, text = severity_and_text(data)
            shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
            print(f"{sender} {severity}: {shown}", flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "udp://:5514")
    except KeyboardInterrupt:
        pass
