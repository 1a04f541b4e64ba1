/*-------------------------------------------------------------------------
 *
 * request.c
 *	  Requests as blocks of bytes.
 *
 *	  +--------+---------+------+--------------+-------+
 *	  | struct | history | bias | stop lengths | texts |  generate
 *	  +--------+---------+------+--------------+-------+
 *	  | struct | sizes of the texts | their tokens |      encode
 *	  +--------+--------------------+--------------+
 *
 * Each part begins at a multiple of 8.  Only this library writes blocks, and
 * they do not outlive the server, so reading trusts them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "storage/shmem.h"

#include "serving/request.h"

#define PART_ALIGN 8

typedef struct GenerateBlock
{
	int64		n_prompt;
	int64		n_history;
	int64		max_history;
	SamplerOptions sampler;		/* bias: not set */
	int32		n_stops;
	int32		top;
	bool		stream;
} GenerateBlock;

typedef struct EncodeBlock
{
	int32		n_texts;
	int32		pooling;
} EncodeBlock;

typedef struct EncodeText
{
	int64		n;
	int64		second;
} EncodeText;

/*
 * Parts, one behind the other.  The same calls count (start NULL), write and
 * read them.
 */
typedef struct Parts
{
	char	   *start;
	Size		end;
} Parts;

/* Where the next part of n items lies; NULL when only counting. */
static void *
next_part(Parts *parts, Size n, Size item)
{
	Size		begin = TYPEALIGN(PART_ALIGN, parts->end);

	parts->end = add_size(begin, mul_size(n, item));
	return parts->start != NULL ? parts->start + begin : NULL;
}

int
encode_width(const Hyper *hyper, PoolingKind pooling)
{
	return pooling == POOLING_RANK ? 1 : hyper->output_length;
}

Size
generate_request_size(const GenerateRequest *request)
{
	Parts		parts = {NULL, 0};

	next_part(&parts, 1, sizeof(GenerateBlock));
	next_part(&parts, request->n_history, sizeof(int32));
	next_part(&parts, request->sampler.n_bias, sizeof(LogitBias));
	next_part(&parts, request->n_stops, sizeof(Size));
	for (int i = 0; i < request->n_stops; i++)
		next_part(&parts, request->stops[i].length, 1);
	return parts.end;
}

static void
copy_part(Parts *parts, const void *items, Size n, Size item)
{
	void	   *part = next_part(parts, n, item);

	if (n > 0)
		memcpy(part, items, n * item);
}

static void
write_stops(Parts *parts, const StopText *stops, int n)
{
	Size	   *lengths = next_part(parts, n, sizeof(Size));

	for (int i = 0; i < n; i++)
	{
		lengths[i] = stops[i].length;
		copy_part(parts, stops[i].text, stops[i].length, 1);
	}
}

void
generate_request_write(const GenerateRequest *request, void *block)
{
	Parts		parts = {block, 0};
	GenerateBlock *head = next_part(&parts, 1, sizeof(GenerateBlock));

	memset(head, 0, sizeof(GenerateBlock));
	head->n_prompt = request->n_prompt;
	head->n_history = request->n_history;
	head->max_history = request->max_history;
	head->sampler = request->sampler;
	head->sampler.bias = NULL;
	head->n_stops = request->n_stops;
	head->top = request->top;
	head->stream = request->stream;
	copy_part(&parts, request->history, request->n_history, sizeof(int32));
	copy_part(&parts, request->sampler.bias, request->sampler.n_bias,
			  sizeof(LogitBias));
	write_stops(&parts, request->stops, request->n_stops);
}

static const StopText *
read_stops(Parts *parts, int n)
{
	const Size *lengths = next_part(parts, n, sizeof(Size));
	StopText   *stops;

	if (n == 0)
		return NULL;
	stops = palloc_array(StopText, n);
	for (int i = 0; i < n; i++)
	{
		stops[i].length = lengths[i];
		stops[i].text = next_part(parts, lengths[i], 1);
	}
	return stops;
}

void
generate_request_read(const void *block, GenerateRequest *request)
{
	Parts		parts = {unconstify(void *, block), 0};
	const GenerateBlock *head = next_part(&parts, 1, sizeof(GenerateBlock));

	request->n_prompt = head->n_prompt;
	request->n_history = head->n_history;
	request->max_history = head->max_history;
	request->sampler = head->sampler;
	request->n_stops = head->n_stops;
	request->top = head->top;
	request->stream = head->stream;
	request->history = next_part(&parts, head->n_history, sizeof(int32));
	request->sampler.bias = next_part(&parts, head->sampler.n_bias,
									  sizeof(LogitBias));
	request->stops = read_stops(&parts, head->n_stops);
}

Size
encode_request_size(const EncodeRequest *request)
{
	Parts		parts = {NULL, 0};

	next_part(&parts, 1, sizeof(EncodeBlock));
	next_part(&parts, request->n_texts, sizeof(EncodeText));
	for (int i = 0; i < request->n_texts; i++)
		next_part(&parts, request->texts[i].n, sizeof(int32));
	return parts.end;
}

void
encode_request_write(const EncodeRequest *request, void *block)
{
	Parts		parts = {block, 0};
	EncodeBlock *head = next_part(&parts, 1, sizeof(EncodeBlock));
	EncodeText *texts = next_part(&parts, request->n_texts,
								  sizeof(EncodeText));

	head->n_texts = request->n_texts;
	head->pooling = request->pooling;
	for (int i = 0; i < request->n_texts; i++)
	{
		texts[i].n = request->texts[i].n;
		texts[i].second = request->texts[i].second;
		copy_part(&parts, request->texts[i].ids, request->texts[i].n,
				  sizeof(int32));
	}
}

void
encode_request_read(const void *block, EncodeRequest *request)
{
	Parts		parts = {unconstify(void *, block), 0};
	const EncodeBlock *head = next_part(&parts, 1, sizeof(EncodeBlock));
	const EncodeText *from = next_part(&parts, head->n_texts,
									   sizeof(EncodeText));
	EncoderText *texts = palloc_array(EncoderText, head->n_texts);

	for (int i = 0; i < head->n_texts; i++)
	{
		texts[i].n = from[i].n;
		texts[i].second = from[i].second;
		texts[i].ids = next_part(&parts, from[i].n, sizeof(int32));
	}
	request->n_texts = head->n_texts;
	request->pooling = head->pooling;
	request->texts = texts;
}
