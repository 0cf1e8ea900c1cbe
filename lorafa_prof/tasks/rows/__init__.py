"""Where a task's items come from: local files, folders and the hub, as rows of named fields."""
