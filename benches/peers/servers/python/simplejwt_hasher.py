"""Cost of a password hash, in a separate module because Django looks it up by name."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class Argon2(Argon2PasswordHasher):
    """argon2id as OWASP's first choice has it, and as all servers here have it."""

    memory_cost = 19456
    time_cost = 2
    parallelism = 1

    def must_update(self, encoded):
        """Keeps the hash of the account that costs next to nothing."""
        return False
