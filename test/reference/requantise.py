"""Write a copy of a GGUF model whose quantised tensors have another type.

    python requantise.py in.gguf out.gguf Q4_0|Q4_1|Q5_0|Q5_1|Q8_0|F16|BF16|F32

Tensors of the type that most of the input's matrices have are dequantised and
quantised again by PyPI `gguf`; the others (norms, an embedding of a better
type) and all metadata stay as they are.  For benchmarks: the result has the
speed of a Q4_0 file, and the error of Q4_0 on top of the input's.
"""

import sys
from collections import Counter

from gguf import (GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter,
                  LlamaFileType)
from gguf.quants import dequantize, quantize


def copy_metadata(reader, writer, file_type):
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        value = field.contents()
        if name == "general.file_type":
            value = int(file_type)
        sub_type = field.types[-1] if len(field.types) > 1 else None
        writer.add_key_value(name, value, field.types[0], sub_type=sub_type)
    if "general.file_type" not in reader.fields:
        writer.add_key_value("general.file_type", int(file_type),
                             GGUFValueType.UINT32)


def main(source, target, type_name):
    wanted = GGMLQuantizationType[type_name]
    file_type = LlamaFileType["ALL_F32" if type_name == "F32" else
                              "MOSTLY_" + type_name]
    reader = GGUFReader(source)
    writer = GGUFWriter(
        target, reader.fields["general.architecture"].contents())
    copy_metadata(reader, writer, file_type)
    common = Counter(tensor.tensor_type for tensor in reader.tensors
                     if len(tensor.shape) > 1).most_common(1)[0][0]
    for tensor in reader.tensors:
        data, kind = tensor.data, tensor.tensor_type
        if kind == common:
            values = dequantize(data, kind)
            data, kind = quantize(values, wanted), wanted
        writer.add_tensor(tensor.name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
