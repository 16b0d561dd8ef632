"""Another program: reads the log and writes decisions with Confluent's own Python client and nothing of ours.

    foreign.py reset BROKERS                  deletes the topics and waits until they are gone
    foreign.py registry REGISTRY              what the schema registry says, asked with SchemaRegistryClient
    foreign.py read BROKERS REGISTRY          every Avro record, one JSON object a line
    foreign.py write BROKERS REGISTRY         writes the records that stand on standard input as a JSON list

It follows docs/wire.md. Bytes are shown as hexadecimal digits, instants as microseconds since 1970.
"""

import datetime
import io
import json
import sys
import time
import uuid

import fastavro
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MICROSECOND = datetime.timedelta(microseconds=1)
PATIENCE = 30


def instant(micros):
    return EPOCH + micros * MICROSECOND


def shown(value):
    """As JSON can hold it."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime.datetime):
        return (value - EPOCH) // MICROSECOND
    if isinstance(value, dict):
        return {name: shown(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shown(inner) for inner in value]
    return value


def value_of(topic):
    return SerializationContext(topic, MessageField.VALUE)


def clear_schema(payload):
    """The schema of the clear block: the type of the payload's field of that name."""
    schema = json.loads(payload)
    clear = next(field["type"] for field in schema["fields"] if field["name"] == "clear")
    clear["namespace"] = schema["namespace"]
    return fastavro.parse_schema(clear)


def reset(brokers):
    admin = AdminClient({"bootstrap.servers": brokers})
    ours = [name for name in admin.list_topics(timeout=PATIENCE).topics if name.startswith("assent.")]
    if ours:
        for gone in admin.delete_topics(ours).values():
            gone.result()
    deadline = time.monotonic() + PATIENCE
    while any(name.startswith("assent.") for name in admin.list_topics(timeout=PATIENCE).topics):
        assert time.monotonic() < deadline, "the topics do not go"
        time.sleep(0.1)


def refused(attempt):
    """The code and the sentence with which the registry refuses."""
    try:
        attempt()
    except SchemaRegistryError as error:
        return {"code": error.error_code, "message": error.error_message}
    return None


def registry(address):
    client = SchemaRegistryClient({"url": address})
    subjects = client.get_subjects()
    subject = "assent.consent-assent.event.ConsentDecision"
    latest = client.get_latest_version(subject)
    wider = json.loads(latest.schema.schema_str)
    clear = wider["fields"][0]["type"]["fields"]
    clear.append({"name": "new", "type": ["null", "string"], "default": None})
    compatible = Schema(json.dumps(wider), "AVRO")
    clear[-1] = {"name": "new", "type": "string"}
    breaking = Schema(json.dumps(wider), "AVRO")
    print(
        json.dumps(
            {
                "subjects": subjects,
                "versions": {name: client.get_versions(name) for name in subjects},
                "latest": {"id": latest.schema_id, "version": latest.version, "subject": latest.subject},
                "looked_up": client.lookup_schema(subject, latest.schema).schema_id,
                "registered": client.register_schema(subject, latest.schema),
                "level": client.get_compatibility(subject),
                "same_is_compatible": client.test_compatibility(subject, latest.schema),
                "wider_is_compatible": client.test_compatibility(subject, compatible),
                "breaking_is_compatible": client.test_compatibility(subject, breaking),
                "wider": refused(lambda: client.register_schema(subject, compatible)),
                "breaking": refused(lambda: client.register_schema(subject, breaking)),
                "no_schema": refused(lambda: client.register_schema(subject, Schema("{", "AVRO"))),
                "no_subject": refused(lambda: client.get_latest_version("nobody")),
                "no_version": refused(lambda: client.get_version(subject, 99)),
                "no_id": refused(lambda: client.get_schema(9999)),
            }
        )
    )


def read(brokers, address):
    client = SchemaRegistryClient({"url": address})
    deserialize = AvroDeserializer(client)
    topics = [name.removesuffix("-value") for name in client.get_subjects() if name.endswith("-value")]
    consumer = Consumer(
        {"bootstrap.servers": brokers, "group.id": str(uuid.uuid4()), "enable.auto.commit": False}
    )
    ends = {}
    for topic in topics:
        for partition in consumer.list_topics(topic, timeout=PATIENCE).topics[topic].partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=PATIENCE)
            assert low == 0
            if high > 0:
                ends[topic, partition] = high
    consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in ends])
    deadline = time.monotonic() + PATIENCE
    while ends:
        assert time.monotonic() < deadline, f"not read: {ends}"
        message = consumer.poll(1)
        if message is None:
            continue
        assert message.error() is None, message.error()
        print(json.dumps(told(client, deserialize, message)))
        place = message.topic(), message.partition()
        if message.offset() + 1 >= ends.get(place, sys.maxsize):
            del ends[place]
    consumer.close()


def told(client, deserialize, message):
    context = value_of(message.topic())
    envelope = deserialize(message.value(), context)
    text = client.get_schema(envelope["schema_id"]).schema_str
    # The payload without its sealed blocks: each of them is optional, and absent is one zero byte.
    blocks = len(json.loads(text)["fields"]) - 1
    frame = b"\0" + envelope["schema_id"].to_bytes(4, "big") + envelope["clear"] + b"\0" * blocks
    payload = deserialize(frame, context)
    clear = payload.pop("clear")
    assert all(block is None for block in payload.values())
    again = io.BytesIO()
    fastavro.schemaless_writer(again, clear_schema(text), clear)
    assert again.getvalue() == envelope["clear"], "what was read does not say the same"
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "key": message.key().hex(),
        "headers": {name: value.hex() for name, value in message.headers() or []},
        "envelope": shown(envelope),
        "clear": shown(clear),
    }


def write(brokers, address):
    client = SchemaRegistryClient({"url": address})
    # As a service would: it registers what it writes with, which is what is registered already.
    serialize = AvroSerializer(client, client.get_latest_version("assent.consent-value").schema.schema_str)
    # The partitioner of Java's client, which is the log's: of one person, one partition has everything.
    producer = Producer({"bootstrap.servers": brokers, "partitioner": "murmur2", "acks": "all"})
    failures = []
    for record in json.load(sys.stdin):
        where = {} if record.get("partition") is None else {"partition": record["partition"]}
        producer.produce(
            "assent.consent",
            key=bytes.fromhex(record["subject"]),
            value=framed(client, serialize, record),
            on_delivery=lambda error, _: error and failures.append(str(error)),
            **where,
        )
        # One after the other, so that the log has their order.
        assert producer.flush(PATIENCE) == 0, "not confirmed in time"
    assert not failures, failures


def framed(client, serialize, record):
    if "raw" in record:
        return bytes.fromhex(record["raw"])
    payload = client.get_latest_version(f"assent.consent-assent.event.{record['record']}")
    clear = io.BytesIO()
    fastavro.schemaless_writer(clear, clear_schema(payload.schema.schema_str), record["clear"])
    envelope = {
        "id": uuid.uuid4().bytes,
        "kind": record["kind"],
        "schema_id": record.get("schema_id", payload.schema_id),
        "subject": bytes.fromhex(record["subject"]),
        "source": "call-centre",
        "message_id": str(uuid.uuid4()),
        "event_time": instant(record["at"]),
        "received_at": instant(record["at"]),
        "clear": clear.getvalue(),
        "sealed": [
            {"class": name, "nonce": bytes(24), "ciphertext": b"not sealed by the vault"}
            for name in record.get("sealed", [])
        ],
    }
    return serialize(envelope, value_of("assent.consent"))


if __name__ == "__main__":
    commands = {"reset": reset, "registry": registry, "read": read, "write": write}
    commands[sys.argv[1]](*sys.argv[2:])
