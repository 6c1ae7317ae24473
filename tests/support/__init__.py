"""What tests share, by subject. Whom a test waits for is in `eventually`, what it must not leave behind in `leaks`."""
