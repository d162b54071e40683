"""Declare, publish and list an artifact by the SDK's library; print what comes out."""

import asyncio
import sys
import tempfile
from datetime import date
from pathlib import Path

import flyte
import flyte.artifacts
from flyte.io import File
from flyte.remote import Artifact

endpoint, name = sys.argv[1:]


async def main() -> None:
    await flyte.init.aio(
        endpoint=endpoint, insecure=True, project="flytesnacks", domain="development"
    )
    local = Path(tempfile.mkdtemp()) / "text"
    local.write_text("hello")
    schema = await Artifact.declare.aio(name, partitions={"date": date, "region": str})
    print("schema", schema.time_key, schema.granularity, schema.keys, end=" ")
    found = await Artifact.get_schema.aio(name)
    print("declared" if found.declared else "inferred")
    file = await File.from_local(str(local), hash_method="content-1")
    for version, day, region in (("v1", 17, "eu"), ("v2", 17, "us"), ("v3", 18, "eu")):
        await Artifact.create.aio(
            file,
            name=name,
            version=version,
            partitions={"date": date(2026, 9, day), "region": region},
        )
    print("versions", *[each.version async for each in Artifact.listall.aio(name)])
    eu = Artifact.listall.aio(
        name, latest_per_partition=True, date=(date(2026, 9, 1), date(2026, 9, 30))
    )
    print("latest per partition", *[each.version async for each in eu][:2])
    print("regions", await Artifact.partition_values.aio(name, "region"))
    print("dates", *(await Artifact.partition_values.aio(name, "date")))
    again = await File.from_local(str(local), hash_method="content-1")
    partition = {"date": date(2026, 9, 17), "region": "eu"}
    same = await Artifact.create.aio(again, name=name, version="v1", partitions=partition)
    print("same version", same.version)
    async for group in Artifact.list_names.aio(search=name):
        print("names", group.name, group.versions, group.latest_time_partition)
    read = await (await Artifact.get.aio(name, "v1")).to_python(File)
    async with read.open("rb") as stream:
        print("read", bytes(await stream.read()).decode())


asyncio.run(main())
