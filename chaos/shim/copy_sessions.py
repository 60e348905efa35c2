"""Copies the row of a session in an SQLite file: FILE ID COUNT."""

import sqlite3
import sys

file, session, count = sys.argv[1:]
db = sqlite3.connect(file, timeout=30)
names = [row[1] for row in db.execute("PRAGMA table_info(sessions)")]
others = ", ".join(name for name in names if name != "id")
db.execute(
    f"""INSERT INTO sessions (id, {others})
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
    SELECT substr(id, 1, 10) || printf('%012d', n), {others} FROM sessions, numbers WHERE id = ?""",
    (int(count), session),
)
db.commit()
