"""Print the next steps."""

import os

SLUG = "{{ cookiecutter.project_slug }}"

if not os.listdir(".github/workflows"):  # cookiecutter creates the folders of files that were not chosen
    os.removedirs(".github/workflows")

print(f"""
{SLUG} is ready. Next:

    cd {SLUG}
    git init
    make test     run the tests
    make run      start the development server on http://127.0.0.1:8000

README.md shows how to change it, docs/operations.md how to run it in production.""")
