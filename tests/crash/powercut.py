"""A power cut, out of shim.c's log: the folder as a disk could have it then.

What was synced is there. Of the rest each write is there, or not, or some of
its sectors are; and each change of a name is there or not, but for what it
stands on: a file cannot be renamed twice when it was not once, nor into a
folder that was not made.
"""
import os
import struct

HEAD = struct.Struct("<BBHIQQQI")
(OPEN, CLOSE, WRITE, TRUNCATE, PUNCH, RENAME, UNLINK, MKDIR, SYNC_BEGIN, SYNC_END,
 SAID) = range(1, 12)
O_DSYNC, O_TRUNC, O_DIRECTORY = 0o10000, 0o1000, 0o200000
SECTORS = (512, 4096)


class File:
    def __init__(self):
        self.data = []      # (position, kind, offset, bytes or length)
        self.names = []     # (position, path or None)
        self.synced = []    # (begin, end)


class Log:
    """All that a recorded program did below root; positions are indices."""

    def __init__(self, path, root):
        self.root = root
        self.files, self.folders = [], {root: -1}
        self.folder_syncs = {}      # path: [(begin, end)]
        self.said = []              # (position, text)
        self.times = []
        self.slowest = 0            # ms that a sync took
        self._names, self._open, self._begun = {}, {}, {}
        with open(path, "rb") as file:
            self._read(file)
        self.length = len(self.times)

    def _read(self, file):
        while len(head := file.read(HEAD.size)) == HEAD.size:
            what, _, _, fd, a, b, ms, size = HEAD.unpack(head)
            body = file.read(size)
            if len(body) < size:
                break
            at = len(self.times)
            self.times.append(ms)
            self._note(at, what, fd, a, b, ms, body)

    def _note(self, at, what, fd, a, b, ms, body):
        if what == OPEN:
            self._opened(at, fd, a, body.decode())
        elif what == CLOSE:
            self._open.pop(fd, None)
        elif what in (WRITE, TRUNCATE, PUNCH):
            file, flags = self._open.get(fd, (None, 0))
            if isinstance(file, File):
                file.data.append((at, what, a, body if what == WRITE else b))
                if flags & O_DSYNC == O_DSYNC:
                    file.synced.append((at + 0.5, at))
        elif what == RENAME:
            source, target = body.decode().split("\0")
            file = self._names.pop(source)
            if target in self._names:
                self._names[target].names.append((at, None))
            self._names[target] = file
            file.names.append((at, target))
        elif what == UNLINK:
            file = self._names.pop(body.decode(), None)
            if file:
                file.names.append((at, None))
        elif what == MKDIR:
            # The folder itself is whoever's who made the one above it.
            self.folders.setdefault(body.decode(), at)
        elif what == SYNC_BEGIN:
            self._begun[(fd, b)] = (at, ms)
        elif what == SYNC_END:
            self._synced(at, fd, b, ms)
        elif what == SAID:
            self.said.append((at, body.decode()))

    def _opened(self, at, fd, flags, path):
        if path in self.folders or flags & O_DIRECTORY:
            self._open[fd] = (path, flags)
            return
        file = self._names.get(path)
        if file is None:
            file = self._names[path] = File()
            file.names.append((at, path))
            self.files.append(file)
        if flags & O_TRUNC:
            file.data.append((at, TRUNCATE, 0, 0))
        self._open[fd] = (file, flags)

    def _synced(self, at, fd, everything, ms):
        begin, since = self._begun.pop((fd, everything), (at, ms))
        self.slowest = max(self.slowest, ms - since)
        what = self._open.get(fd, (None, 0))[0]
        if everything:
            for file in self.files:
                file.synced.append((begin, at))
            for path in self.folders:
                self.folder_syncs.setdefault(path, []).append((begin, at))
        elif isinstance(what, File):
            what.synced.append((begin, at))
        elif what:
            self.folder_syncs.setdefault(what, []).append((begin, at))

    # ---- what is left -------------------------------------------------------

    def _durable(self, at, syncs, cut):
        return any(begin > at and end < cut for begin, end in syncs)

    def _name_lasts(self, at, paths, cut):
        folders = {os.path.dirname(p) for p in paths if p}
        return any(self._durable(at, self.folder_syncs.get(f, ()), cut) for f in folders)

    def _kept_folders(self, cut, keep):
        kept = set()
        for path, at in self.folders.items():
            if at < cut and (at < 0 or self._name_lasts(at, [path], cut) or keep(at)):
                kept.add(path)
        return {f for f in kept if f == self.root or os.path.dirname(f) in kept}

    def _name(self, file, folders, cut, keep):
        """The last name in its chain that reached the disk."""
        before, reached = None, []
        for at, path in file.names:
            if at >= cut:
                break
            reached.append((path, self._name_lasts(at, [before, path], cut), at))
            before = path
        last = max((i for i, (_, lasts, _) in enumerate(reached) if lasts), default=-1)
        name = None
        for i, (path, _, at) in enumerate(reached):
            if i > last and not keep(at):
                break
            if path and os.path.dirname(path) not in folders:
                break
            name = path
        return name

    def _content(self, file, cut, keep, rng):
        content = bytearray()
        for at, kind, offset, what in file.data:
            if at >= cut:
                break
            lasts = self._durable(at, file.synced, cut)
            if not lasts and not keep(at) and kind != WRITE:
                continue
            if kind == TRUNCATE:
                if offset < len(content):
                    del content[offset:]
                else:
                    content.extend(bytes(offset - len(content)))
            elif kind == PUNCH:
                end = min(offset + what, len(content))
                if end > offset:
                    content[offset:end] = bytes(end - offset)
            elif lasts or keep(at):
                self._put(content, offset, what)
            elif rng.random() < 0.5:
                sector = rng.choice(SECTORS)
                at = 0
                while at < len(what):
                    n = sector - (offset + at) % sector
                    if rng.random() < 0.5:
                        self._put(content, offset + at, what[at:at + n])
                    at += n
        return content

    @staticmethod
    def _put(content, offset, data):
        if offset > len(content):
            content.extend(bytes(offset - len(content)))
        content[offset:offset + len(data)] = data

    def restore(self, cut, rng, to):
        """Makes the folder `to` as it would be after a cut before position `cut`."""
        how = rng.choice(("none", "all", "prefix", "some", "some", "few", "most"))
        until = rng.randrange(max(0, cut - 200), cut + 1)
        share = {"some": 0.5, "few": 0.1, "most": 0.9}.get(how, 0)
        memo = {}

        def keep(at):
            if at not in memo:
                memo[at] = (how == "all" or (how == "prefix" and at < until)
                            or rng.random() < share)
            return memo[at]

        folders = self._kept_folders(cut, keep)
        for folder in sorted(folders):
            os.makedirs(to + folder[len(self.root):], exist_ok=True)
        for file in self.files:
            if file.names[0][0] >= cut:
                continue
            name = self._name(file, folders, cut, keep)
            if not name or name.endswith("lock"):
                continue
            content = self._content(file, cut, keep, rng)
            self._write(to + name[len(self.root):], content)
        return how

    @staticmethod
    def _write(path, content):
        """With holes where there are zeros, as the file had them."""
        with open(path, "wb") as out:
            zeros = bytes(4096)
            for at in range(0, len(content), 4096):
                block = content[at:at + 4096]
                if block != zeros[:len(block)]:
                    out.seek(at)
                    out.write(block)
            out.truncate(len(content))
