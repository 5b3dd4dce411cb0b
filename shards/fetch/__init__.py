"""The bytes of a picture, from a file or an address: the one place where they are got. Nothing here decodes them."""

from shards.fetch.chunks import fetched_chunks
from shards.fetch.local import MAX_FILE_BYTES, PASSING, read_file
from shards.fetch.log import read_fetched
from shards.fetch.rules import CAN_HEAL, Account, FetchRules, is_address

__all__ = ["CAN_HEAL", "MAX_FILE_BYTES", "PASSING", "Account", "FetchRules", "fetched_chunks", "is_address", "read_fetched", "read_file"]
