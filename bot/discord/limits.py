"""The limits of Discord that this package relies on, each beside the page of Discord's documentation that states it.

Nothing else in the package repeats one of these numbers.
"""

from __future__ import annotations

# https://discord.com/developers/docs/interactions/receiving-and-responding#responding-to-an-interaction
INTERACTION_TOKEN_LIFE_S = 15 * 60.0

# https://discord.com/developers/docs/reference#uploading-files
FILE_BYTES_DEFAULT = 10 * 1024 * 1024  # of one file, where no interaction has said what applies here
REQUEST_BYTES_MAX = 25 * 1024 * 1024  # of one whole multipart request
ATTACHMENTS_MAX = 10

# https://discord.com/developers/docs/resources/message#create-message
CONTENT_CHARACTERS_MAX = 2_000
NONCE_CHARACTERS_MAX = 25
# https://discord.com/developers/docs/resources/message#attachment-object
ATTACHMENT_DESCRIPTION_CHARACTERS_MAX = 1_024

# https://discord.com/developers/docs/resources/message#embed-object-embed-limits
EMBED_TITLE_CHARACTERS_MAX = 256
EMBED_DESCRIPTION_CHARACTERS_MAX = 4_096
EMBED_FIELDS_MAX = 25
EMBED_FIELD_NAME_CHARACTERS_MAX = 256
EMBED_FIELD_VALUE_CHARACTERS_MAX = 1_024
EMBED_FOOTER_CHARACTERS_MAX = 2_048
EMBED_CHARACTERS_MAX = 6_000  # over every embed of a message together

# https://discord.com/developers/docs/components/reference
ROWS_MAX = 5
BUTTONS_PER_ROW_MAX = 5
SELECT_OPTIONS_MAX = 25
CUSTOM_ID_CHARACTERS_MAX = 100
BUTTON_LABEL_CHARACTERS_MAX = 80
MODAL_TITLE_CHARACTERS_MAX = 45

# https://discord.com/developers/docs/interactions/application-commands#application-command-object
COMMAND_NAME_CHARACTERS_MAX = 32
COMMAND_DESCRIPTION_CHARACTERS_MAX = 100
COMMAND_OPTIONS_MAX = 25
OPTION_CHOICES_MAX = 25
CHOICE_NAME_CHARACTERS_MAX = 100
COMMAND_CHARACTERS_MAX = 4_000  # names, descriptions and values of one command with all its options
