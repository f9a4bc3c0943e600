"""What `import django` gives under the import hook where Django is not installed: `django.urls` for routing files."""
