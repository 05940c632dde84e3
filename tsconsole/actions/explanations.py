"""What F1 says: each pane and screen in words. What stands in the columns, what it means, and
what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tsconsole.actions.spoken_keys import spoken
from tsconsole.health import STATES


@dataclass(frozen=True)
class Explanation:
    """A title, and sections of a heading and a text each; keys as in `tsconsole.spoken_keys`."""

    title: str
    sections: tuple[tuple[str, str], ...]


def explain(topic: str) -> Explanation:
    """What there is to say about a pane or a screen."""
    found = EXPLANATIONS[topic]
    sections = tuple((heading, spoken(body)) for heading, body in found.sections)
    return Explanation(found.title, sections)


def table(rows: Mapping[str, str], width: int = 11) -> str:
    """Names on the left, what they mean on the right.

    >>> print(table({"LAG": "how far behind"}, 5))
    LAG    how far behind
    """
    return "\n".join(f"{name:{width}}  {meaning}" for name, meaning in rows.items())


OPERATIONS_COLUMNS = {
    "STATE": "the health in one word; see above",
    "TARGET": "the table that the rollup writes",
    "EVERY": "the width of a bucket: one row stands for that much time",
    "WATERMARK": "everything below this time is complete, except what is pending",
    "LAG": "now minus the watermark; up to one bucket is normal",
    "PENDING": "ranges below the watermark still to be computed; a bar while history is filled in",
    "ROWS/RUN": "rows of the source that the last step read",
    "TOOK": "how long the last step took",
    "REASON": "why the state is what it is, in words",
}

WHAT_TO_DO = {
    "gave up": "Press {error}: the error and the query that was attempted. Mend the cause, then "
    "{retry}.",
    "retry … in": "It tries again by itself. Once the cause is gone, {retry} tries at once.",
    "behind": "Is a worker up? If every rollup lags, one worker is too few. If only this one: a "
    "transaction that has written to the source and is still open holds it back; the reason names "
    "it.",
    "ran too long": "Look at what its backend waits for ({cancel} cancels it; it is tried again).",
    "dropped": "The source is gone: {drop} drops the rollup; silver.drop_rollup(…, keep_data => "
    "true) keeps its rows.",
    "paused": "{pause} lets it go on. What was missed is made up.",
}

_STATES = "\n".join(f"{state.glyph} {state.health:9}  {state.meaning}" for state in STATES)

EXPLANATIONS: dict[str, Explanation] = {
    "operations": Explanation(
        "The rollups",
        (
            (
                "What is seen here",
                "Every rollup of this database, worst first: what needs you is in the first rows. "
                "Shift and a letter sorts by a column, the same again turns it round; {filter} "
                "filters; {problems} leaves only what is wrong. {mark} marks rows: then an action "
                "is done to all that are marked and shown, never to a row that a filter hides.",
            ),
            ("The states", _STATES),
            ("The columns", table(OPERATIONS_COLUMNS)),
            ("What to do", table(WHAT_TO_DO, 13)),
        ),
    ),
    "partitions_pane": Explanation(
        "Partitions of a rollup",
        (
            (
                "What is seen here",
                "The partitions of the rollup under the cursor, the newest first, with a bar for "
                "their size beside each other, their size with indexes, and their rows as "
                "statistics know them.",
            ),
            (
                "The states",
                table({
                    "open": "the present is in it: it still grows",
                    "premade": "made ahead, empty still",
                    "expired": "older than the retention period: the next maintenance drops it",
                    "(none)": "closed: it is past, and only late changes still touch it",
                }),
            ),
            (
                "What to do",
                "{maintain} maintains the rollup: expired partitions go (it asks first), missing "
                "ones are made. Expired ones that stay although maintenance runs are kept because "
                "a rollup that reads this table has not come past them.",
            ),
        ),
    ),
    "errors": Explanation(
        "The error log",
        (
            (
                "What is seen here",
                "What failed, the newest first. The same error of the same rollup is one row, with "
                "the number of times (×8). An error stays in the log when its work has succeeded "
                "since: what is failing now is in pane 4.",
            ),
            (
                "Codes that recur",
                table({
                    "22012 22003": "a row that an expression cannot digest: correct it, then retry",
                    "42501": "a right on the source, or on a new partition of it, is missing",
                    "55P03 TS005": "somebody holds a lock, often an ALTER TABLE: it goes away",
                    "57014": "statement timeout: a smaller processing_window, or an index on time",
                    "TS007": "the session ended without finishing; nothing was half done",
                    "TS009": "no failure: late rows, or dropped ones, that no rollup will hold",
                }),
            ),
            ("What to do", "Enter shows an error in full, with the query that was attempted."),
        ),
    ),
    "retries": Explanation(
        "The retry queue",
        (
            (
                "What is seen here",
                "Work that is failing now: how often it was tried, how often it will be, and when "
                "the next try is. The pauses grow, with some chance in them, so that not all try "
                "at once.",
            ),
            (
                "What to do",
                "“gave up” means that it waits for you: read the error ({error}), mend the cause, "
                "then {retry} tries again. {retry_all} tries everything whose time has come.",
            ),
        ),
    ),
    "strip": Explanation(
        "The health of everything",
        (
            (
                "The figures",
                table({
                    "counts": "rollups in each state; enter shows only those",
                    "overdue": "how much more than one bucket the worst rollup lags, paused ones "
                    "aside; and the one in the middle. A bucket that is not over is not missing",
                    "rows/s": "rows that steps read, in the last whole minute",
                    "pending": "ranges below the watermarks still to be computed",
                    "late rows": "rows of targets that late changes made wrong and that were put "
                    "right in the last hour",
                    "failing": "rollups with work that failed and is not done yet",
                    "retry in": "the time to the next try",
                }),
            ),
            (
                "The small lines",
                "The last hour, the present at the right; each column is two minutes. For what is "
                "overdue, how late steps were with new buckets; for the others, sums.",
            ),
        ),
    ),
    "details": Explanation(
        "One rollup",
        (
            (
                "What is seen here",
                "How the rollup is defined, the ladder it is part of with the lag of each level, "
                "how far its history has come, its last steps as figures and plots, its last "
                "error with the query that was attempted, and the SQL that creates it again.",
            ),
            ("The states", _STATES),
            ("What to do", table(WHAT_TO_DO, 13)),
        ),
    ),
    "explorer": Explanation(
        "The data of a rollup",
        (
            (
                "What is seen here",
                "One measure over time, complete up to now: what no step has computed yet, and "
                "late rows, are in it. Of a ladder, the finest level is read that fills the range "
                "with at most as many points as there are columns; when even the coarsest has "
                "more, its buckets are put together. Series that no dimension is chosen of are "
                "put together too: sums are added, minima and maxima kept, averages weighted. The "
                "line is broken where buckets have no rows.",
            ),
            (
                "What to do",
                "{zoom_in} {zoom_out} zoom, {earlier} {later} go back and on, {now} follows the "
                "present, {everything} shows everything, {range} takes dates. {measure} chooses "
                "the measure, {dimension} the value of a dimension, {table} shows a table, "
                "{statement} the SQL; {copy} copies the points, {csv} writes them to a file.",
            ),
        ),
    ),
    "errors_screen": Explanation(
        "Errors and retries",
        (
            (
                "What is seen here",
                "Above, what is in the error log: errors of one rollup that say the same are one "
                "row, with how often, since when, and how many of them are new: nobody has "
                "acknowledged them. {group} shows each by itself, the newest first, and goes on "
                "with the log. Below, what is failing now, with the time to its next try.",
            ),
            (
                "What to do",
                "Enter shows an error in full with the query that was attempted; {plan} there "
                "shows the plan of that query. Mend the cause, then {retry} tries again: the "
                "rollup under the cursor, or those that {mark} has marked. {retry_all} tries what "
                "is due, {retry_failing} everything that is failing. {acknowledge} acknowledges: "
                "the row turns quiet, and {problems} hides it until it happens again. {psql} opens "
                "psql on this connection.",
            ),
        ),
    ),
    "steps": Explanation(
        "Who runs what",
        (
            (
                "What is seen here",
                "Every step that runs now, whoever runs it: workers, pg_cron, other consoles, "
                "and this one. The oldest is first.",
            ),
            (
                "The columns",
                table({
                    "WORK": "frontier: new buckets. history: the past that was queued at creation. "
                    "recompute: what late changes made stale",
                    "RANGE": "what the step has claimed; of a frontier step and a recompute, how "
                    "far it can come",
                    "RAN": "since the step began",
                    "PID": "its backend, as in pg_stat_activity",
                    "WHO": "its role, and the program's own name",
                }, 6),
            ),
            (
                "What to do",
                "{cancel} cancels the step under the cursor: what it did is undone, and it is "
                "tried again after a wait; the second answer pauses the rollup too. It takes the "
                "role of that backend or membership in pg_signal_backend; the lower edge says when "
                "both are missing. {pause} pauses the rollup and lets the step in hand end.",
            ),
        ),
    ),
    "log": Explanation(
        "The log of this session",
        (
            (
                "What is seen here",
                "What you have started from this console, the newest first, with its outcome. "
                "Enter shows the result in full. Operations go on while you change screens; "
                "{cancel} cancels the latest, on the server too.",
            ),
        ),
    ),
    "partitions": Explanation(
        "Partitions of a table",
        (
            (
                "What is seen here",
                "The partitions of one rollup or source ({choose} looks at another), the newest "
                "first. The bar is the size with indexes; rows and dead rows are what statistics "
                "know. Below: the size of all, and how long rows are kept.",
            ),
            (
                "The states",
                table({
                    "! expired": "older than is kept: the next maintenance takes it away",
                    "▶ open": "the present is in it: it still grows",
                    "+ premade": "made ahead, empty still",
                    "closed": "past: only late changes still touch it",
                }),
            ),
            (
                "What to do",
                table({
                    "{dry_run}": "says what retention would take away, and what has to stay "
                    "because a rollup has not come past it",
                    "{apply}": "takes it away now; dropping wants the table's name typed",
                    "{retention}": "changes how long rows are kept, and whether they are dropped "
                    "or archived",
                    "{optimize}": "chooses the width of coming partitions from how fast the table "
                    "grows",
                }),
            ),
        ),
    ),
    "maintenance": Explanation(
        "Maintenance",
        (
            (
                "What is seen here",
                "Every task of every rollup: what its last run said, when the next is, and below "
                "the log. Whoever runs the rollups, a worker or pg_cron, runs what is due here "
                "too. The lower edge says what the task under the cursor is for.",
            ),
            (
                "LAST",
                table({
                    "✓ done": "it had something to do and did it",
                    "· skipped": "nothing needed doing",
                    "✗ failed": "enter says why; the other tasks went on",
                    "never": "it has not run yet",
                }),
            ),
            (
                "What to do",
                "Tasks that stay due: nobody runs them ({view('schedule')} says who should). "
                "{run_task} runs one, {run_table} those of a rollup, {run_due} what is due.",
            ),
        ),
    ),
    "schedule": Explanation(
        "The schedule",
        (
            (
                "What is seen here",
                "When each rollup ran, when it is due next, and what kind of work is due now: "
                "frontier is new data, history the past that is filled in, recompute what late "
                "changes made stale. Below: the workers with their last sign of life, and our jobs "
                "in pg_cron.",
            ),
            (
                "What to do",
                table({
                    "due for long": "nobody runs it: start a worker (tsconsole worker), or let "
                    "pg_cron do it ({cron}). Or it is running: RUN BY has a pid then",
                    "✗ worker": "it was not heard of for 30 seconds: its host or network is gone",
                    "✗ job": "enter shows the runs of the job with their messages",
                }, 12),
            ),
        ),
    ),
    "indexes": Explanation(
        "The index advisor",
        (
            (
                "What is seen here",
                "Indexes that would pay for the queries that rollups of this table really run "
                "(create), indexes that are in the way (drop), and notes. With the extension "
                "hypopg the planner's cost is tried with each index before it is built.",
            ),
            (
                "The columns",
                table({
                    "COST AFTER": "the planner's cost of the queries without and with the index",
                    "GAIN": "how much cheaper they get",
                    "SIZE": "about how large the index is, or will be",
                }),
            ),
            (
                "What to do",
                "{follow} builds or drops what is under the cursor in the background, without "
                "blocking anybody. The advice is given once: {refresh} asks again, and so does the "
                "end of a build.",
            ),
        ),
    ),
    "activity": Explanation(
        "The last hour",
        (
            (
                "The lines",
                "All rollups together, minute by minute, the present at the right: rows that "
                "steps read a second, rows of targets that late changes made wrong and that were "
                "put right, steps that failed, and how long new buckets took to get into the "
                "target, at worst.",
            ),
            (
                "The columns",
                table({
                    "STEPS": "steps that did something",
                    "READ": "rows of the source that they read",
                    "WRITTEN": "rows of the target that they wrote",
                    "LATE": "rows that were put right after late changes",
                    "ERRORS": "steps that failed",
                    "TOOK": "how long a step took, in the middle, and the slowest",
                    "DELAY": "from the end of a bucket to its row, at worst",
                }),
            ),
            (
                "What to do",
                "Many late rows: sources deliver late; a longer allowed lateness makes steps wait "
                "for them. Delays that grow: steps are slower than data comes; see their durations "
                "in the details (enter), and whether there are enough workers "
                "({view('schedule')}).",
            ),
        ),
    ),
}  # fmt: skip
