"""The digest, as a table for people."""

ROWS_MAX = 20
NAME_WIDTH = 40
_ROW = "{:<{width}}  {:>5}  {:>9}  {:>7}  {:>8}  {:>8}  {:<20}  {}"


def table(result):
    """The files, the largest ones if there are many, with totals and the words that tell most."""
    files = result["files"]
    shown = files if len(files) <= ROWS_MAX else sorted(files, key=lambda file: -file["bytes"])[:ROWS_MAX]
    width = max([len("and 999 more files")] + [len(_fit(file["path"], NAME_WIDTH)) for file in shown])
    heads = ("file", "parts", "bytes", "lines", "words", "distinct", "longest word", "SHA-256")
    rows = [_ROW.format(*heads, width=width)]
    rows += [_file_row(file, width) for file in shown]
    if len(shown) < len(files):
        rows.append(f"and {len(files) - len(shown)} more files")
    rows += ["-" * len(rows[1] if shown else rows[0]), _total_row(result, width)]
    words = ", ".join(f"{word} {count}" for word, count in result["top_words"])
    rows.insert(0, _fit(result["title"], 100, from_end=False) + "\n")
    return "\n".join(row.rstrip() for row in rows) + f"\n\nWords that tell most: {words or '(none)'}"


def _file_row(file, width):
    numbers = (file[name] for name in ("parts", "bytes", "lines", "words", "distinct"))
    path, longest = _fit(file["path"], NAME_WIDTH), _fit(file["longest"], 20, from_end=False)
    return _ROW.format(path, *numbers, longest, file["sha256"][:12], width=width)


def _total_row(result, width):
    sums = [sum(file[name] for file in result["files"]) for name in ("parts", "bytes", "lines", "words")]
    name = "in all" if len(result["files"]) == 1 else f"all {len(result['files'])} files"
    return _ROW.format(name, *sums, result["distinct"], "", "", width=width)


def _fit(text, width, from_end=True):
    """A text in so many characters, none of them a control; a path keeps its end, a word its beginning."""
    text = "".join(char if char.isprintable() else "?" for char in text)
    if len(text) <= width:
        return text
    return "…" + text[1 - width :] if from_end else text[: width - 1] + "…"
