"""Doctor's look at the templates: every kind rendered with its samples, ours and the user's."""

from __future__ import annotations

from pathlib import Path

from daemon import resources
from daemon.core.errors import HandoffdError
from daemon.reports.environment import templates_in
from daemon.reports.samples import samples
from daemon.reports.view import view

FORMS = ("md", "html")


def check_templates(templates: Path | None = None, user_templates: Path | None = None) -> list[str]:
    """What is wrong with the report templates, one sentence each; an empty list when nothing is.

    ``templates``: root of the template tree, None = the one that ships. ``user_templates``: as in the
    setting reports.templates. Every sample is rendered by its kind's templates, and by the user's kinds
    that we have no samples for as generic tasks.
    """
    if user_templates is not None and not user_templates.is_dir():
        return [f"reports.templates names {user_templates}, which is not a folder"]
    root = templates if templates is not None else resources.templates()
    found = templates_in(root / "reports", user_templates)
    bundles = samples()
    work = [(bundle.kind, name) for name, bundle in bundles.items()]
    known = {kind for kind, _ in work}
    work += [(kind, "task") for kind in _kinds(user_templates) if kind not in known]
    problems = []
    for kind, name in work:
        for form in FORMS:
            shown = view(bundles[name])
            try:
                found.render(
                    f"{kind}/report.{form}.j2", report=shown, bundle=shown.bundle, data=shown.bundle.data
                )
            except HandoffdError as error:
                problems.append(f"{error.message} (sample {name})")
    return list(dict.fromkeys(problems))


def _kinds(folder: Path | None) -> list[str]:
    if folder is None:
        return []
    return sorted(path.parent.name for path in folder.glob("*/report.*.j2") if path.parent.parent == folder)
