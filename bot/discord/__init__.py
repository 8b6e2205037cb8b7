"""The Discord front end: slash commands, buttons and replies over `bot.studio.Studio`."""
