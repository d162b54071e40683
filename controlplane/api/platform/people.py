"""The person behind a call, for what service accounts and operators cannot do."""

from controlplane.core.callers import Caller
from controlplane.core.errors import NotAllowedError
from controlplane.core.identity import User, find_user_id
from controlplane.usecases.identity.users import Users


async def find_person(users: Users, caller: Caller, act: str) -> User:
    """Return the caller's user; NotAllowedError, which says that only a person can ``act``."""
    user_id = find_user_id(caller.subject)
    user = None if user_id is None else await users.find(user_id)
    if user is None:
        raise NotAllowedError(f"only a person can {act}; log in as one")
    return user
