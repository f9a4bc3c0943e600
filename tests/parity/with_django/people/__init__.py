"""An app with the project's users."""
