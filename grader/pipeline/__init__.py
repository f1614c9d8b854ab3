"""From a lesson's source to the notebook that students open.

solutions/NN_slug/NN_slug.py -> cells (source) -> notebook -> executed -> released in lessons/NN_slug/.
Run it with `python -m grader.pipeline build`, `lint` or `check`.
"""
