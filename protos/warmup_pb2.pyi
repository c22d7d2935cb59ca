from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WarmupRecord(_message.Message):
    __slots__ = ("classify_log", "regress_log", "predict_log")
    CLASSIFY_LOG_FIELD_NUMBER: _ClassVar[int]
    REGRESS_LOG_FIELD_NUMBER: _ClassVar[int]
    PREDICT_LOG_FIELD_NUMBER: _ClassVar[int]
    classify_log: Logged
    regress_log: Logged
    predict_log: Logged
    def __init__(self, classify_log: _Optional[_Union[Logged, _Mapping]] = ..., regress_log: _Optional[_Union[Logged, _Mapping]] = ..., predict_log: _Optional[_Union[Logged, _Mapping]] = ...) -> None: ...

class Logged(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: bytes
    def __init__(self, request: _Optional[bytes] = ...) -> None: ...
