"""Scripts by others as they published them, each with its licence; where they are from: ORIGIN.md."""

SCRIPTS = {"d3-5.7.0.min.js": "LICENSE-d3.txt", "jquery-3.7.1.slim.min.js": "LICENSE-jquery.txt"}
