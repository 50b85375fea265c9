"""What the commands share: flags, start and failure, reports."""
