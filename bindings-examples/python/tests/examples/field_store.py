from blazen import BlazenState, CallbackFieldStore
def save_to_s3(key: str, value: bytes) -> None:
    s3.put_object(Bucket="my-bucket", Key=key, Body=value)
def load_from_s3(key: str) -> bytes:
    return s3.get_object(Bucket="my-bucket", Key=key)["Body"].read()
@dataclass
class ModelState(BlazenState):
    name: str = ""
    weights: bytes = b""
    class Meta:
        transient = set()
        store_by = {
            "weights": CallbackFieldStore(
                save_fn=save_to_s3,
                load_fn=load_from_s3,
            ),
        }
