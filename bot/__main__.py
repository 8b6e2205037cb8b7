"""`python -m bot`: see `bot.cli`."""

import sys

if __name__ == "__main__":
    try:
        from bot.cli import main
    except KeyboardInterrupt:  # before anything has begun
        sys.exit(130)
    sys.exit(main())
