"""Says what to do next."""

import os

SLUG = "{{ cookiecutter.project_slug }}"

if not os.listdir(".github/workflows"):  # cookiecutter makes the folders of files that were not chosen
    os.removedirs(".github/workflows")

print(f"""
{SLUG} is ready. Next:

    cd {SLUG}
    git init
    make test     run its tests
    make run      development server on http://127.0.0.1:8000

README.md says how to go to production.""")
