# SPDX-License-Identifier: GPL-2.0-or-later
"""Letters with a checksum, and mailboxes that are looked up by it."""
import hashlib
import random

from net import wait_for

# Lines that a careless reader of SMTP could take for something else.
ODD_LINES = (".", "..", ".dot", "QUIT", "EHLO bot", "RSET", "MAIL FROM:<a@bot.example>", "RCPT TO:<b@bot.example>",
             "220 no greeting", "354 no answer", "BDAT 10 LAST", "STARTTLS", "", " leading", "x" * 990)


class Letter:
    """One message: subject, and a body of about `size` bytes of random lines behind the odd ones."""

    def __init__(self, subject, size=2000, utf8=False, sender="user@lab.example", to="inbox@lab.example", odd=ODD_LINES):
        self.subject, self.sender, self.to, self.utf8 = subject, sender, to, utf8
        rng = random.Random(subject)
        lines = [*odd, *(["Grüße aus Köln, 日本語, ✉"] if utf8 else [])]
        head = "".join(line + "\n" for line in lines).encode()
        # Text lines of 63 characters: hexadecimal is random enough, and cheap to make by the megabyte.
        rest = max(0, size - len(head)) // 64 + 1
        block = [rng.randbytes(31).hex() + "." for _ in range(min(rest, 4096))]
        text = "\n".join(block).encode() + b"\n"
        full, part = divmod(rest, len(block))
        numbered = b"".join(b"part %d\n" % n + text for n in range(full))
        self.body = head + numbered + text[:part * 64]
        self.sum = hashlib.sha256(self.body).hexdigest()

    def header(self):
        kind = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n" if self.utf8 else ""
        return f"From: {self.sender}\nTo: {self.to}\nSubject: {self.subject}\nMIME-Version: 1.0\n{kind}\n".encode()

    def text(self):
        """With LF, as programs want it on their standard input."""
        return self.header() + self.body

    def wire(self):
        """With CRLF."""
        return self.text().replace(b"\n", b"\r\n")

    def stuffed(self):
        """As it goes behind DATA, with the final dot."""
        return b"".join(b"." + line if line.startswith(b".") else line
                        for line in self.wire().splitlines(keepends=True)) + b".\r\n"


class Mailbox:
    """A maildir that a server delivers into. Each message is read once."""

    def __init__(self, folder):
        self.folder = folder
        self._read = set()
        self.found = {}  # subject -> [(checksum of the body, header, path)]

    def look(self):
        for path in sorted(self.folder.glob("new/*")):
            if path.name in self._read:
                continue
            self._read.add(path.name)
            with open(path, "rb") as f:
                header = b"".join(iter(f.readline, b"\n"))
                total = hashlib.sha256()
                while data := f.read(1 << 20):
                    total.update(data)
            subject = next((line[9:].decode() for line in header.splitlines() if line.startswith(b"Subject: ")), "")
            self.found.setdefault(subject, []).append((total.hexdigest(), header, path))
        return self.found

    def wait(self, *letters, limit=60):
        """Waits until all letters are there, once each and whole; answers the header of the last."""
        wait_for(f"{len(letters)} letters ({letters[0].subject!r} …) in the mailbox",
                 lambda: all(letter.subject in self.found for letter in letters) or
                 all(letter.subject in self.look() for letter in letters), limit)
        for letter in letters:
            copies = self.found[letter.subject]
            assert len(copies) == 1, f"{letter.subject}: {len(copies)} copies"
            assert copies[0][0] == letter.sum, f"{letter.subject}: {_difference(letter, copies[0][2])}"
        return copies[0][1]

    def has(self, letter):
        return letter.subject in self.look()


def _difference(letter, path):
    """Where the message in a file is not the letter."""
    body = path.read_bytes().split(b"\n\n", 1)[1]
    at = next((n for n, (a, b) in enumerate(zip(letter.body, body)) if a != b), min(len(letter.body), len(body)))
    return f"{len(letter.body)} bytes sent, {len(body)} arrived; at {at}: {letter.body[at:at + 60]}, {body[at:at + 60]}"
