"""How columns of the dataset contract stand in Parquet files."""

from __future__ import annotations

import pyarrow as pa

from features.contract import Form

ARROW_TYPES = {
    Form.ID: pa.string(),
    Form.TEXT: pa.string(),
    Form.NUMBER: pa.float64(),
    Form.TIME: pa.timestamp("us", tz="UTC"),
    Form.FLAG: pa.bool_(),
    Form.TAGS: pa.list_(pa.string()),
}
