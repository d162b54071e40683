"""Everything that the database holds about an org, to see whether anything of it was changed."""

import asyncpg


async def digest_rows(owner_url: str, org: str) -> dict[str, str]:
    """Return a digest of the org's rows of each table, as the owner of the tables sees them."""
    owner = await asyncpg.connect(owner_url)
    try:
        tables = await owner.fetch(
            "SELECT c.table_name FROM information_schema.columns c"
            " JOIN information_schema.tables t USING (table_schema, table_name)"
            " WHERE c.column_name = 'org' AND c.table_schema = 'public'"
            " AND t.table_type = 'BASE TABLE'"
        )
        return {
            name: str(
                await owner.fetchval(
                    "SELECT count(*) || md5(coalesce(string_agg(r::text, ',' ORDER BY r::text), ''))"  # noqa: S608 - our tables
                    f' FROM "{name}" r WHERE org = $1',
                    org,
                )
            )
            for (name,) in tables
        }
    finally:
        await owner.close()
