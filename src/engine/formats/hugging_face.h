/*-------------------------------------------------------------------------
 *
 * hugging_face.h
 *	  A Hugging Face folder, read as one GGUF file.
 *
 * Opening reads and checks config.json, the tokenizer, the headers of the
 * safetensors files and, for embedding models, the files of
 * sentence-transformers; the result is a source whose bytes are the GGUF file
 * that other engines would have made of the folder.  The header lies in
 * memory; tensor data is read, converted and quantised as it is asked for,
 * best in ascending order.  The same folder and type give the same bytes on
 * every machine.
 *
 * Keys beyond those of other engines (they ignore them): README.md of the
 * engine lists them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_HUGGING_FACE_H
#define ENGINE_HUGGING_FACE_H

#include "formats/folder.h"
#include "tensor/types.h"

#define HF_KEEP (-1)			/* types as the folder has them */

/*
 * quantization: HF_KEEP, or a type that quantise_row() knows, which matrices
 * get; vectors are always F32.  A row that is no multiple of the type's block
 * falls back (formats.md 2.2): to a type with blocks of 32, or to F16.
 */
extern EngineCode hugging_face_open(ModelFolder *folder, int quantization,
									EngineArena *arena,
									const EngineHost *host,
									ByteSource **gguf, EngineStatus *status);

#endif							/* ENGINE_HUGGING_FACE_H */
