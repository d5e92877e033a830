// What the kernels need of vectors of 512 bits, one element at a time: for machines without them.
#ifndef NARROW512_H
#define NARROW512_H

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef struct {union{int8_t b[64];uint8_t u[64];int16_t h[32];uint16_t uh[32];int32_t w[16];float f[16];};} V;
#define __m512i V
#define __m512 V
#define __mmask64 uint64_t
#define F static inline __attribute__((unused)) V
F e_set1w(int x){V v;for(int i=0;i<16;i++)v.w[i]=x;return v;}
F e_set1b(char x){V v;memset(&v,x,64);return v;}
F e_set1f(float x){V v;for(int i=0;i<16;i++)v.f[i]=x;return v;}
F e_zero(void){V v;memset(&v,0,64);return v;}
F e_xor(V a,V b){for(int i=0;i<64;i++)a.b[i]^=b.b[i];return a;}
F e_load(const void*p){V v;memcpy(&v,p,64);return v;}
static inline __attribute__((unused)) void e_store(void*p,V v){memcpy(p,&v,64);}
F e_dpb(V s,V a,V b){for(int i=0;i<64;i++)s.w[i/4]+=a.u[i]*b.b[i];return s;}
F e_addw(V a,V b){for(int i=0;i<16;i++)a.w[i]+=b.w[i];return a;}
F e_mload(uint64_t m,const void*p){V v=e_zero();for(int i=0;i<64;i++)if(m>>i&1)v.b[i]=((const char*)p)[i];return v;}
static inline __attribute__((unused)) void e_mstore(void*p,uint64_t m,V v){for(int i=0;i<64;i++)if(m>>i&1)((char*)p)[i]=v.b[i];}
F e_unb(V a,V b,int hi){V v;for(int l=0;l<4;l++)for(int i=0;i<8;i++){v.b[16*l+2*i]=a.b[16*l+8*hi+i];v.b[16*l+2*i+1]=b.b[16*l+8*hi+i];}return v;}
F e_unh(V a,V b,int hi){V v;for(int l=0;l<4;l++)for(int i=0;i<4;i++){v.h[8*l+2*i]=a.h[8*l+4*hi+i];v.h[8*l+2*i+1]=b.h[8*l+4*hi+i];}return v;}
F e_cvt(V a){V v;for(int i=0;i<16;i++)v.f[i]=(float)a.w[i];return v;}
F e_mul(V a,V b){V v;for(int i=0;i<16;i++)v.f[i]=a.f[i]*b.f[i];return v;}
F e_min(V a,V b){V v;for(int i=0;i<16;i++)v.f[i]=a.f[i]<b.f[i]?a.f[i]:b.f[i];return v;}
F e_max(V a,V b){V v;for(int i=0;i<16;i++)v.f[i]=a.f[i]>b.f[i]?a.f[i]:b.f[i];return v;}
F e_round(V a){V v;for(int i=0;i<16;i++)v.w[i]=(int)rintf(a.f[i]);return v;}
F e_packw(V a,V b){V v;for(int l=0;l<4;l++)for(int i=0;i<4;i++){int x=a.w[4*l+i],y=b.w[4*l+i];v.h[8*l+i]=x>32767?32767:x<-32768?-32768:x;v.h[8*l+4+i]=y>32767?32767:y<-32768?-32768:y;}return v;}
F e_packh(V a,V b,int u){V v;for(int l=0;l<4;l++)for(int i=0;i<8;i++){int x=a.h[8*l+i],y=b.h[8*l+i];int lo=u?0:-128,hi=u?255:127;v.b[16*l+i]=x>hi?hi:x<lo?lo:x;v.b[16*l+8+i]=y>hi?hi:y<lo?lo:y;}return v;}
#define _mm512_set1_epi32 e_set1w
#define _mm512_set1_epi8 e_set1b
#define _mm512_set1_ps e_set1f
#define _mm512_setzero_si512 e_zero
#define _mm512_xor_si512 e_xor
#define _mm512_loadu_si512 e_load
#define _mm512_loadu_ps e_load
#define _mm512_storeu_si512 e_store
#define _mm512_dpbusd_epi32 e_dpb
#define _mm512_add_epi32 e_addw
#define _mm512_maskz_loadu_epi8 e_mload
#define _mm512_mask_storeu_epi8 e_mstore
#define _mm512_unpacklo_epi8(a,b) e_unb(a,b,0)
#define _mm512_unpackhi_epi8(a,b) e_unb(a,b,1)
#define _mm512_unpacklo_epi16(a,b) e_unh(a,b,0)
#define _mm512_unpackhi_epi16(a,b) e_unh(a,b,1)
#define _mm512_cvtepi32_ps e_cvt
#define _mm512_mul_ps e_mul
#define _mm512_min_ps e_min
#define _mm512_max_ps e_max
#undef _mm512_cvt_roundps_epi32
#define _mm512_cvt_roundps_epi32(a,m) e_round(a)
#define _mm512_packs_epi32 e_packw
#define _mm512_packs_epi16(a,b) e_packh(a,b,0)
#define _mm512_packus_epi16(a,b) e_packh(a,b,1)

#endif
